"""`forgetting grade`: stubs fail, printed solutions pass, and each failure has its one line."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forgetting import cli
from forgetting.chapters import answers
from forgetting.chapters.answers import BadExercise
from forgetting.experiments import parameters

REPOSITORY = Path(__file__).parents[1]
CHAPTERS = parameters.chapters(REPOSITORY)
PROSE = """\
```{exercise-start} Twice
:label: toy-twice
```
Write `twice(x)` with {math}`x \\in R`, and test it with `exercises.repetition(twice)`.
```{exercise-end}
```

````{solution-start} toy-twice
:class: dropdown
````
```python
import math


def twice(ids, n):
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
```
````{solution-end}
````
"""


def write_chapter(root, prose=PROSE):
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": prose}
    path = root / "notebooks" / "01_toy.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content))
    return path


# -- the book's own exercises ------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_printed_solution_passes_and_every_stub_does_not(chapter):
    found = answers.exercises_of(CHAPTERS[chapter])
    assert len(found) >= 3
    solved = "\n".join(exercise.solution for exercise in found)
    for outcome, code in (
        ("passed", solved),
        ("not attempted", answers.stubs(chapter, found)),
        ("not attempted", ""),
    ):
        graded = answers.grade(found, code)
        assert [(g.exercise.label, g.outcome) for g in graded] == [
            (exercise.label, outcome) for exercise in found
        ]


def test_no_exercise_stands_outside_the_chapters():
    for page in (REPOSITORY / "book").rglob("*.md"):
        assert "{exercise" not in page.read_text(), f"{page.name}: nothing would grade it"


# -- reading -----------------------------------------------------------------------------------


def test_an_exercise_is_read_from_its_notebook(tmp_path):
    (exercise,) = answers.exercises_of(write_chapter(tmp_path))
    assert (exercise.title, exercise.label) == ("Twice", "toy-twice")
    assert (exercise.test, exercise.asked) == ("exercises.repetition(twice)", ["twice"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("`exercises.repetition(twice)`", "a friend", "toy-twice: its text names no test"),
        ("repetition(twice)", "repetition(thrice)", "its solution defines nothing that exerc"),
        ("{solution-start} toy-twice", "{solution-start} other", "1 exercises have no solution"),
    ],
)
def test_an_exercise_that_could_not_be_graded_is_refused(tmp_path, old, new, said):
    with pytest.raises(BadExercise, match=re.escape(said)):
        answers.exercises_of(write_chapter(tmp_path, PROSE.replace(old, new)))


def test_a_stub_keeps_the_signature_and_the_imports_and_tells_the_exercise(tmp_path):
    text = answers.stubs("toy", answers.exercises_of(write_chapter(tmp_path)))
    assert text == (
        '"""Answers to the exercises of `toy`; test them: forgetting grade toy"""\n\n'
        "import math\n\n\n"
        "def twice(ids, n):\n"
        '    """Twice.\n\n'
        "    Write `twice(x)` with `x /in R`, and test it with `exercises.repetition(twice)`.\n"
        '    """\n'
        "    raise NotImplementedError\n"
    )


# -- grading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "outcome", "why"),
    [
        ("def twice(ids, n):\n    return 0.0", "failed", "gave 0, expected 0.666667: count the"),
        ("def twice(ids, n):\n    return 1 / 0", "failed", "line 2: ZeroDivisionError: division"),
        ("def twice(ids):\n    return 0", "failed", "TypeError: twice() takes 1 positional"),
        ("def thrice(ids, n):\n    return 0", "not attempted", "the file does not define twice"),
    ],
)
def test_a_wrong_answer_gets_one_line(tmp_path, code, outcome, why):
    (graded,) = answers.grade(answers.exercises_of(write_chapter(tmp_path)), code)
    assert graded.outcome == outcome and why in graded.why and "\n" not in graded.why


def test_a_file_that_cannot_be_run_is_told_in_one_line(tmp_path):
    found = answers.exercises_of(write_chapter(tmp_path))
    with pytest.raises(BadExercise, match=r"^a\.py: line 2: SyntaxError: "):
        answers.grade(found, "import math\ndef twice(", "a.py")
    with pytest.raises(BadExercise, match=r"^a\.py: line 1: NameError: name 'mat' is not defined"):
        answers.grade(found, "mat.pi", "a.py")


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    write_chapter(tmp_path)
    return tmp_path


def grade(*options):
    return CliRunner().invoke(cli.app, ["grade", "toy", *options])


def test_from_stubs_to_all_passed(root):
    missing = grade()
    assert (missing.exit_code, missing.stderr) == (
        2,
        "error: answers/toy.py: is not there; forgetting grade toy --new makes it\n",
    )
    assert grade("--new").stdout == "answers/toy.py: 1 exercise, none answered yet\n"
    again = grade("--new")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    todo = grade()
    assert todo.exit_code == 1 and todo.stdout.endswith("0 of 1 exercise passed\n")
    assert re.search(r"Twice +not attempted", todo.stdout)

    (exercise,) = answers.exercises_of(root / "notebooks" / "01_toy.ipynb")
    (root / "answers" / "toy.py").write_text(exercise.solution)
    done = grade()
    assert done.exit_code == 0 and re.search(r"Twice +passed", done.stdout)

    (root / "answers" / "toy.py").write_text("def twice(ids, n):\n    return 1 / 0\n")
    wrong = grade()
    assert wrong.exit_code == 1
    assert re.search(r"Twice +failed +line 2: ZeroDivisionError", wrong.stdout)
