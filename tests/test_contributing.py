"""CONTRIBUTING.md: every example is run as it is printed there."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import test_skeleton
import test_tuning
from lm_eval.tasks import TaskManager
from test_evaluation import ITEMS, assert_item_for_item
from typer.testing import CliRunner

from forgetting import Task, chapters, cli, evaluate, method, tasks, train
from forgetting.chapters import published
from forgetting.engine import compute
from forgetting.evidence import claims, papers
from forgetting.experiments import parameters, study
from forgetting.site import markup
from forgetting.site.pages import cards, method_cards
from forgetting.views import figures, theme

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


def file_paths(title):
    """The files whose text is printed in a section."""
    return re.findall(r"[Ii]n `([^`]+)`:\n\n```", section(title))


TITLES = re.findall(r"^## (.*)$", GUIDE, re.M)


def test_four_things_a_page_each():
    assert TITLES == ["Add a method", "Add a task", "Add a claim", "Add a chapter"]
    assert all(len(section(title).splitlines()) <= PAGE for title in TITLES)


def test_links_and_files_that_are_named_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (REPOSITORY / path).exists(), path
    made = file_paths("Add a method")
    for path in re.findall(r"`((?:src|tests|book)/[\w./]+\.\w+)`", GUIDE):
        assert (REPOSITORY / path).exists() or path in made, path
    for module in re.findall(r"`(\w+\.py)`", GUIDE):
        assert list((REPOSITORY / "src" / "forgetting").glob(f"**/{module}")), module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The method's file as it is printed, in a folder of one's own."""
    path = tmp_path / "tuning" / "freeze_norms.py"
    path.parent.mkdir()
    path.write_text(file_block("Add a method", "src/forgetting/tuning/freeze_norms.py"))
    monkeypatch.setenv("FORGETTING_METHODS", str(tmp_path))
    yield tmp_path
    sys.modules.pop("forgetting.tuning.freeze_norms", None)


def test_the_method(folder, tiny_model):
    model, _ = tiny_model
    added = method.named("FreezeNorms").load()
    _, case, arm = blocks("Add a method", "python")
    names = vars(test_tuning) | {"FreezeNorms": added, "train": train}
    tune, expected = eval(case, names)
    assert test_tuning.moving(tune, model) == expected
    assert eval(arm, names) == {"freeze norms": train(added())}


def test_the_method_is_found_by_a_run_a_figure_and_its_page(folder, tiny, own_home):
    """The same for one of each other question stands in test_methods.py, up to the run."""
    design = chapters.experiment("freezing")
    cells, _ = design.cells(
        tiny,
        design.taught("smoke", "bundled"),
        methods=["full", "FreezeNorms"],
        rates=(1e-3,),
        tokens=64,
        length=32,
        batch=1,
    )
    asks = {"chinese": Task("zh_everyday", 2), "chat": Task("chat", 2)}
    runs = study.measure("freezing", cells, asks, "smoke", say=lambda line: None)
    assert runs[-1].labels["method"] == "FreezeNorms"
    look = theme.looks(design)["FreezeNorms"]
    assert look == ("#882255", "p")
    losses = {"chat.nats": "lost"}
    drawn = figures.plane(
        runs, theme.looks(design), learned="chinese.nats", losses=losses, skill="Chinese"
    )
    assert "FreezeNorms" in [text.get_text() for text in drawn.legends[0].get_texts()]
    (card,) = [card for card in method.cards() if card.title == "Freezing the norms"]
    page = method_cards.page(card, {}, markup.Contents(()))
    assert "The scales of the norms stay" in page and "FreezeNorms" in page


def test_the_commands_that_run_it(folder, monkeypatch):
    """Their options are options of `run`, and the chapter takes the method's name for an arm."""
    asked = []
    monkeypatch.setattr(cli.chapters, "_execute", lambda _, __, values, ___: asked.append(values))
    for command in blocks("Add a method", "console")[0].splitlines():
        called = CliRunner().invoke(cli.app, shlex.split(command)[1:])
        assert called.exit_code == 0, called.output
    assert asked[0]["methods"] == ["full", "FreezeNorms"]
    assert asked[1] == {
        "methods": ["FreezeNorms"],
        "learning_rates": [1e-4, 3e-5, 3e-4],
        "seeds": [0, 1, 2],
    }


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
    shown = map(task.example, task.documents("test"))
    answers = {e.question.strip().partition("\n")[0]: e.answer.strip() for e in shown}
    assert answers["Question: Which planet does Titan circle?"] == "Saturn"
    assert 0 <= evaluate(tiny, [task])[moons].mean("acc") <= 1
    assert "Moons and their planets" in cards.card(task, cards.base_run())
    manager = TaskManager(include_path=str(tasks.folder()), include_defaults=False)
    assert_item_for_item(compute.model(tiny), manager, moons, chat=False)


def test_the_claim(tree, monkeypatch):
    monkeypatch.setenv("FORGETTING_RESULTS", str(REPOSITORY / "results"))
    path = "src/forgetting/chapters/freezing/claims.toml"
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    written = (REPOSITORY / path).read_text() + "\n" + file_block("Add a claim", path)
    (tree / path).write_text(written)
    found = {verdict.id: verdict for verdict in published.verdicts("freezing")}["example-english"]
    assert found.verdict != "not tested" and found.seeds >= claims.FEWEST_SEEDS
    told = CliRunner().invoke(cli.app, shlex.split(blocks("Add a claim", "console")[0])[1:])
    assert "example-english" in told.stdout


def test_the_chapter(tree):
    """What it writes is run in test_skeleton.py; here, that it is what the page says."""
    first, then = blocks("Add a chapter", "console")
    done = CliRunner().invoke(cli.app, shlex.split(first)[1:])
    assert done.exit_code == 0, done.output
    written = [line for line in done.stdout.splitlines() if (tree / line).is_file()]
    assert len(written) == 6
    named = [Path(path).name for path in written if "chapters" in path and "__init__" not in path]
    assert len(named) == 4 and all(f"`{name}`" in section("Add a chapter") for name in named)
    for command in then.splitlines():
        assert command.split()[2] in parameters.chapters(tree)
    given = [word.partition("=")[::2] for word in then.split() if "=" in word]
    (notebook,) = [path for path in written if path.endswith(".ipynb")]
    declared = parameters.parameters_of(tree / notebook)
    assert parameters.check(declared, dict(given)) == {"data": "bundled", "seeds": [0, 1, 2]}
    filled = re.search(r"claims\[\"(.*?)\"\]", section("Add a chapter"))[1]
    assert filled in [claim.id for paper in papers.papers() for claim in paper.claims]
