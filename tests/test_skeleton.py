"""`forgetting new chapter`: what it writes passes what every chapter of the book has to pass."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import test_answers
import test_claims
import test_exercises
from typer.testing import CliRunner

from forgetting import cli
from forgetting.evidence import papers
from forgetting.experiments import budgets, panels, parameters
from forgetting.experiments.budgets import BadChapter
from forgetting.site import book, run_card

REPOSITORY = Path(__file__).parents[1]
LONGEST = 60  # lines of code in a chapter


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the book without its records."""
    root = tmp_path / "book"
    for folder in ("book", "data", "notebooks"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    for file in ("_toc.yml", "_config.yml"):
        shutil.copy(REPOSITORY / file, root / file)
    (root / "results").mkdir()
    monkeypatch.setenv("FORGETTING_ROOT", str(root))
    monkeypatch.setenv("FORGETTING_DATA", str(root / "data"))
    monkeypatch.chdir(root)
    return root


def new(name="trial_run", cite="shenfeld2026razor"):
    return CliRunner().invoke(cli.app, ["new", "chapter", name, "--cite", cite])


@pytest.fixture
def chapter(tree, monkeypatch):
    """The notebook of a new chapter in that copy."""
    number = len(parameters.chapters(tree))  # they are counted from 00
    told = new()
    assert told.stdout.splitlines() == [
        f"notebooks/{number:02d}_trial_run.ipynb",
        "data/chapters/trial_run.toml",
        "data/papers/2509.04259.toml",
        "try it: forgetting run trial_run --tier smoke -p data=bundled",
    ]
    path = tree / "data" / "chapters" / "trial_run.toml"
    monkeypatch.setitem(panels.PANELS, "trial_run", panels.from_file(path))  # as an import would
    monkeypatch.setitem(budgets.BUDGETS, "trial_run", budgets.from_file(path))
    return tree / "notebooks" / f"{number:02d}_trial_run.ipynb"


def test_the_tests_of_every_chapter_accept_it(tree, chapter, monkeypatch):
    monkeypatch.setattr(test_exercises, "NOTEBOOKS", [chapter])
    test_exercises.test_three_exercises_a_chapter()
    monkeypatch.setattr(test_answers, "CHAPTERS", {"trial_run": chapter})
    test_answers.test_every_printed_solution_passes_and_every_stub_does_not("trial_run")
    assert "trial_run-learns" in [claim.id for paper in papers.papers() for claim in paper.claims]
    test_claims.test_every_claim_on_file_names_roles_and_rates_that_exist()
    tiers = {p.name: p.choices for p in parameters.parameters_of(chapter)}["tier"]
    assert set(tiers) == set(budgets.BUDGETS["trial_run"])


def test_it_is_a_thin_notebook_without_outputs_and_nothing_is_left_to_fill_in(tree, chapter):
    notebook = nbformat.read(chapter, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(len(cell.source.splitlines()) for cell in code) <= LONGEST
    assert not any(cell.outputs for cell in code)
    placeholders = re.compile(r"\b(NAME|TITLE|CITATION|PAPER)\b")
    paper = tree / "data" / "papers" / "2509.04259.toml"
    for path in (chapter, paper, *(tree / "data").rglob("*trial_run*")):
        assert not placeholders.search(path.read_text()), path


def test_the_book_is_staged_with_it(tree, chapter, monkeypatch):
    def executed(notebooks, *_):
        return [nbformat.read(path, as_version=4) for path in notebooks]

    monkeypatch.setattr(book.staging, "executed", executed)
    source = book.stage(tree)
    assert not (source / "notebooks" / chapter.name).exists()  # it waits for its records
    lines = (source / "scoreboard.md").read_text().splitlines()
    row = next(line for line in lines if "held-out C" in line and "shenfeld" in line)
    assert "[not run]{.verdict .not-run}" in row
    toc = tree / "_toc.yml"
    toc.write_text(toc.read_text().replace("notebooks/01_freezing", f"notebooks/{chapter.stem}"))
    page = nbformat.read(book.stage(tree) / "notebooks" / chapter.name, as_version=4)
    assert run_card.card(chapter) in [cell.source for cell in page.cells]


def test_it_runs_at_the_smoke_tier_and_reports(tree, chapter, own_home):
    command = [sys.executable, "-m", "forgetting.cli", "run", "trial_run", "--tier", "smoke"]
    command += ["-p", "data=bundled", "--report", "mine.html"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = sorted((own_home / "results" / "trial_run").glob("*.json"))
    methods = {json.loads(path.read_text())["labels"]["method"] for path in stored}
    assert methods == {"untouched", "full", "LoRA"}
    assert book.page_problems(tree / "mine.html") == []
    text = (tree / "mine.html").read_text()
    assert "A plane: learned Chinese against English lost" in text
    assert "a toy: its numbers mean nothing" in text and "held-out Chinese becomes" in text


def test_a_paper_that_has_claims_gets_another(tree):
    paper = tree / "data" / "papers" / "2401.05605.toml"
    before = paper.read_text().rstrip("\n")
    assert new(cite="kalajdzievski2024scaling").exit_code == 0
    assert paper.read_text().startswith(before)
    ids = [claim["id"] for claim in tomllib.loads(paper.read_text())["claims"]]
    assert ids[-1] == "trial_run-learns" and len(ids) > 1


@pytest.mark.parametrize(
    ("name", "cite", "said"),
    [
        ("Self Output", "shenfeld2026razor", "small letters, digits and _"),
        ("freezing", "shenfeld2026razor", "there is such a chapter"),
        ("mine", "shenfeld2026", "did you mean 'shenfeld2026razor'?"),
        ("mine", "nobody", "add the paper there first"),
    ],
)
def test_what_cannot_be_a_chapter_is_refused_and_writes_nothing(tree, name, cite, said):
    before = sorted(path for path in tree.rglob("*") if path.is_file())
    told = new(name, cite)
    assert told.exit_code == 2 and said in told.stderr
    assert sorted(path for path in tree.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('role = "english"', 'roll = "english"', "unexpected keyword argument 'roll'"),
        ("[taught]", "[shown_first]", "KeyError: 'taught'"),
        ("[budgets.full]", "[budgets.fulll]", "budgets.fulll: tiers are smoke, classroom"),
        ("items = 16", "items = ", "TOMLDecodeError"),
    ],
)
def test_a_panel_that_says_something_else_is_named(tmp_path, old, new, said):
    text = (REPOSITORY / "data" / "skeleton" / "chapter.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BadChapter, match=rf"^mine\.toml: .*{re.escape(said)}"):
        panels.from_file(path)
        budgets.from_file(path)
