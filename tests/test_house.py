"""The house: what stands where, and that it stays small enough to see."""

import ast
import json
from pathlib import Path

import pytest

from forgetting import chapters, tasks

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "forgetting"
ABOVE = ("chapters", "site", "cli")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Words that a chapter uses as a name of an arm or a role, and everybody else for something else:
# tiers, turns, formats; what recipes and probes call that which they make; a class that merges.
SHARED = {"full", "chat", "json", "label", "english", "real", "own", "questions", "spectrum"}
SHARED |= {"answers", "gold", "paraphrase", "shuffled", "distilled", "free text", "empty turn"}
SHARED |= {"TIES"}


def modules():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in p.parts]


def code_of(notebook):
    """A notebook's code; the install cell is one line and does not count."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    install = [cell for cell in code if "remove-cell" in cell["metadata"].get("tags", [])]
    assert all(len(cell["source"]) == 1 for cell in install), notebook.name
    return "\n".join("".join(cell["source"]) for cell in code if cell not in install)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_at_most_sixty_lines_of_code(notebook):
    lines = [line for line in code_of(notebook).splitlines() if line.strip()]
    assert 10 < len(lines) <= 60


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_a_dozen_names_at_most_and_has_no_logic(notebook):
    tree = ast.parse(code_of(notebook))
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert len(imported) <= 12
    logic = (ast.FunctionDef, ast.ClassDef, ast.While, ast.If, ast.Try, ast.For)
    assert not [node for node in ast.walk(tree) if isinstance(node, logic)]


def test_every_chapter_has_a_notebook_a_design_and_claims():
    numbered = {path.stem.partition("_")[2] for path in NOTEBOOKS}
    assert set(chapters.names()) == numbered
    for name, folder in chapters.folders().items():
        assert (folder / "views.py").exists() and (folder / "claims.toml").exists(), name
        assert chapters.experiment(name).name == name


def test_nothing_below_chapters_names_a_chapter_an_arm_or_a_role():
    """A method's card may have the name of an arm, and a task that of a role."""
    named = set(chapters.names())
    for name in chapters.names():
        design = chapters.experiment(name)
        named |= design.arms_of(design.base("smoke")).keys()
        named |= {ask.role for ask in design.every_ask()}
    named -= SHARED | set(tasks.names())
    offences = []
    for path in modules():
        if path.relative_to(PACKAGE).parts[0] in ABOVE:
            continue
        for node in outside_cards(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                role, dot, _ = node.value.partition(".")
                if node.value in named or (dot and role in named):
                    offences.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value!r}")
    assert not offences, "\n".join(offences)


def outside_cards(tree):
    """The nodes of a module that stand in no `@method(...)`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "method"):
            yield node
            yield from outside_cards(node)


def test_no_module_is_longer_than_four_hundred_lines():
    long = {
        str(p.relative_to(PACKAGE)): n
        for p in modules()
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long


def test_the_environment_is_read_in_one_place():
    """What a worker or a kernel is started with is written elsewhere; what it says is not."""
    readers = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if 'os.environ.get("FORGETTING' in path.read_text() or "os.getenv" in path.read_text()
    }
    assert not readers
