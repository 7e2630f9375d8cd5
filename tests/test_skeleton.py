"""`forgetting new chapter`: what it writes passes what every chapter of the book has to pass."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import test_claims
import test_coursework
import test_house
from typer.testing import CliRunner

from forgetting import chapters, cli
from forgetting.evidence import papers, records
from forgetting.experiments import parameters
from forgetting.site import run_card
from forgetting.site.book import staging, verifying

REPOSITORY = Path(__file__).parents[1]
FOLDER = Path("src", "forgetting", "chapters", "trial_run")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the book without its records, and without the package."""
    root = tmp_path / "book"
    for folder in ("book", "data", "notebooks"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    for file in ("_toc.yml", "_config.yml"):
        shutil.copy(REPOSITORY / file, root / file)
    (root / "results").mkdir()
    monkeypatch.setenv("FORGETTING_ROOT", str(root))
    monkeypatch.setenv("FORGETTING_DATA", str(root / "data"))
    monkeypatch.setattr(chapters, "__path__", chapters.__path__[:1])
    monkeypatch.chdir(root)
    yield root
    for name in [name for name in sys.modules if ".trial_run" in name]:
        del sys.modules[name]


def new(name="trial_run", cite="shenfeld2026razor"):
    return CliRunner().invoke(cli.app, ["new", "chapter", name, "--cite", cite])


@pytest.fixture
def chapter(tree):
    """The notebook of a new chapter in that copy."""
    number = len(parameters.chapters(tree))  # they are counted from 00
    assert new().stdout.splitlines() == [
        f"notebooks/{number:02d}_trial_run.ipynb",
        *(f"{FOLDER}/{file}" for file in ("__init__.py", "experiment.py", "views.py")),
        f"{FOLDER}/exercises.py",
        f"{FOLDER}/claims.toml",
        "try it: forgetting run trial_run --tier smoke -p data=bundled",
    ]
    return tree / "notebooks" / f"{number:02d}_trial_run.ipynb"


def test_the_tests_of_every_chapter_accept_it(tree, chapter, monkeypatch):
    monkeypatch.setattr(test_coursework, "CHAPTERS", {"trial_run": chapter})
    test_coursework.test_every_printed_solution_passes_and_every_stub_does_not("trial_run")
    test_house.test_a_notebook_has_at_most_sixty_lines_of_code(chapter)
    test_house.test_a_notebook_imports_a_dozen_names_at_most_and_has_no_logic(chapter)
    assert "trial_run-learns" in [claim.id for paper in papers.papers() for claim in paper.claims]
    test_claims.test_every_claim_on_file_names_roles_and_arms_that_exist()
    design = chapters.experiment("trial_run")
    assert design.name == "trial_run" and design.plane and design.checks
    tiers = {p.name: p.choices for p in parameters.parameters_of(chapter)}["tier"]
    assert set(tiers) == set(design.budgets)
    assert all(budget.rates and budget.epochs for budget in design.budgets.values())


def test_it_has_no_outputs_and_nothing_is_left_to_fill_in(tree, chapter):
    notebook = nbformat.read(chapter, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    placeholders = re.compile(r"\b(NAME|TITLE|CITATION|PAPER)\b")
    for path in (chapter, *(tree / FOLDER).iterdir()):
        assert not placeholders.search(path.read_text()), path
    style = ["--config", str(REPOSITORY / "pyproject.toml"), str(tree / FOLDER)]
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, *style]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_book_is_staged_with_it(tree, chapter, monkeypatch):
    def executed(notebooks, *_):
        return [nbformat.read(path, as_version=4) for path in notebooks]

    monkeypatch.setattr(staging, "executed", executed)
    source = staging.stage(tree)
    assert not (source / "notebooks" / chapter.name).exists()  # it waits for its records
    lines = (source / "scoreboard.md").read_text().splitlines()
    row = next(line for line in lines if "held-out C" in line and "shenfeld" in line)
    assert "[not tested]{.verdict .not-tested}" in row
    toc = tree / "_toc.yml"
    toc.write_text(toc.read_text().replace("notebooks/01_freezing", f"notebooks/{chapter.stem}"))
    page = nbformat.read(staging.stage(tree) / "notebooks" / chapter.name, as_version=4)
    assert run_card.card(chapter) in [cell.source for cell in page.cells]


def test_it_runs_at_the_smoke_tier_and_reports(tree, chapter, own_home):
    command = ["run", "trial_run", "--tier", "smoke", "-p", "data=bundled"]
    done = CliRunner().invoke(cli.app, [*command, "--report", "mine.html"])
    assert done.exit_code == 0, done.output
    runs = records.stored("trial_run", "smoke")
    labels = {(r.labels["method"], r.labels["learning_rate"], r.labels.get("epochs")) for r in runs}
    arms = {
        (arm, rate, epochs) for arm, rate in (("full", 1e-4), ("LoRA", 1e-3)) for epochs in (1, 2)
    }
    assert labels == arms | {("untouched", 0, None)}
    assert verifying.page_problems(tree / "mine.html") == []
    text = (tree / "mine.html").read_text()
    assert "A plane: learned Chinese against English lost" in text
    assert "a toy: its numbers mean nothing" in text and "held-out Chinese becomes" in text


def test_a_paper_that_is_known_keeps_its_file_and_another_one_gets_one(tree, chapter):
    known = tree / "data" / "papers" / "2509.04259.toml"
    assert known.read_bytes() == (REPOSITORY / "data" / "papers" / known.name).read_bytes()
    assert "data/papers/2106.09685.toml" in new("another", "hu2022lora").stdout.splitlines()
    by_id = {paper.id: paper for paper in papers.papers()}
    assert {claim.id for claim in by_id["2509.04259"].claims} > {"trial_run-learns"}
    (claim,) = by_id["2106.09685"].claims
    assert (claim.id, claim.chapter) == ("another-learns", "another")
    assert by_id["2106.09685"].short == "Hu et al. (2022)"
