"""CONTRIBUTING.md: every example is run as it is printed there."""

import re
import shlex
from pathlib import Path

import pytest
import test_skeleton
import test_tuning
from lm_eval.tasks import TaskManager
from test_evaluation import ITEMS, assert_item_for_item
from typer.testing import CliRunner

from forgetting import cli, evaluate, tasks, tuning
from forgetting.engine import compute
from forgetting.evidence import claims, papers
from forgetting.experiments import methods, parameters
from forgetting.site.pages import cards

REPOSITORY = Path(__file__).parents[1]
GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGE = 64  # lines
tree = test_skeleton.tree


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.S | re.M)[1]


def blocks(title, language):
    return re.findall(rf"^```{language}\n(.*?)^```", section(title), re.S | re.M)


def file_block(title, path):
    """The block that stands below "In `path` …:"."""
    block = rf"`{re.escape(path)}`[^\n]*:\n\n```\w+\n(.*?)^```"
    return re.search(block, section(title), re.S | re.M)[1]


TITLES = re.findall(r"^## (.*)$", GUIDE, re.M)


def test_four_things_a_page_each():
    assert TITLES == ["Add a method", "Add a task", "Add a claim", "Add a chapter"]
    assert all(len(section(title).splitlines()) <= PAGE for title in TITLES)


def test_links_and_files_that_are_named_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (REPOSITORY / path).exists(), path
    for path in re.findall(r"`((?:src|tests|book)/[\w./]+\.\w+)`", GUIDE):
        assert (REPOSITORY / path).exists(), path
    for module in re.findall(r"`(\w+\.py)`", GUIDE):
        assert (REPOSITORY / "src" / "forgetting" / module).exists(), module


def test_the_method(tiny_model):
    model, _ = tiny_model
    declared, case, row = blocks("Add a method", "python")
    names = dict(vars(tuning))
    exec(declared, names)
    added, expected = eval(case, vars(test_tuning) | names)
    assert test_tuning.moving(added, model) == expected
    assert eval(row, names | vars(methods)) == {"freeze embeddings": methods.Row(added)}


def test_the_command_that_runs_it(monkeypatch):
    """Its options are options of `run`; the row is one that a chapter has to list first."""
    (command,) = blocks("Add a method", "console")
    asked = []
    monkeypatch.setattr(parameters, "check", lambda declared, given, chapter: asked.append(given))
    monkeypatch.setattr(cli.chapters, "_execute", lambda *_: None)
    called = CliRunner().invoke(cli.app, shlex.split(command)[1:])
    assert asked == [
        {
            "methods": "freeze embeddings",
            "learning_rates": "1e-4,3e-5,3e-4",
            "seeds": "0,1,2",
        }
    ], called.output


@pytest.fixture
def moons(tree):
    """The example's two files in a copy of the book."""
    for path in ("data/tasks/bundled/moons.jsonl", "data/tasks/retention/moons.yaml"):
        (tree / path).write_text(file_block("Add a task", path))
    tasks.task._config.cache_clear()
    yield "moons"
    tasks.task._config.cache_clear()


def test_the_task(moons, tiny, own_home):
    task = tasks.Task(moons)
    assert len(task.documents("test")) >= ITEMS
    shown = [task.rendered(document) for document in task.documents("test")]
    answers = {prompt.strip().partition("\n")[0]: answer.strip() for prompt, answer in shown}
    assert answers["Question: Which planet does Titan circle?"] == "Saturn"
    assert 0 <= evaluate(tiny, [task])[moons].mean("acc") <= 1
    card = {path.name: page for path, page in cards.pages().items()}["moons.md"]
    assert "Moons and their planets" in card
    manager = TaskManager(include_path=str(tasks.folder()), include_defaults=False)
    assert_item_for_item(compute.model(tiny), manager, moons, chat=False)


def test_the_claim(tree, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(REPOSITORY / "results"))
    path = "data/papers/2401.03129.toml"
    paper = tree / path
    paper.write_text(paper.read_text() + "\n" + file_block("Add a claim", path))
    papers._read.cache_clear()
    found = {verdict.id: verdict for verdict in claims.verdicts("freezing")}["example-english"]
    assert found.verdict != "not run" and found.seeds >= claims.FEWEST_SEEDS
    told = CliRunner().invoke(cli.app, shlex.split(blocks("Add a claim", "console")[0])[1:])
    assert "example-english" in told.stdout


def test_the_chapter(tree):
    """What it writes is run in test_skeleton.py; here, that it is what the page says."""
    first, then = blocks("Add a chapter", "console")
    done = CliRunner().invoke(cli.app, shlex.split(first)[1:])
    assert done.exit_code == 0, done.output
    written = [line for line in done.stdout.splitlines() if (tree / line).is_file()]
    assert len(written) == 3
    assert all(f"`{path}`" in section("Add a chapter") for path in written if "data" in path)
    for command in then.splitlines():
        assert command.split()[2] in parameters.chapters(tree)
    given = [word.partition("=")[::2] for word in then.split() if "=" in word]
    declared = parameters.parameters_of(tree / written[0])
    assert parameters.check(declared, dict(given)) == {"data": "bundled", "seeds": [0, 1, 2]}
    filled = re.search(r"claims\[\"(.*?)\"\]", section("Add a chapter"))[1]
    assert filled in [claim.id for paper in papers.papers() for claim in paper.claims]
