"""`forgetting grade`: stubs fail, printed solutions pass, and each failure has its one line."""

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from forgetting import cli
from forgetting.experiments import parameters
from forgetting.site import coursework
from forgetting.site.coursework import BadExercise
from forgetting.tuning import FreezeAttention

REPOSITORY = Path(__file__).parents[1]
CHAPTERS = parameters.chapters(REPOSITORY)
TOY = "freezing"  # the chapter whose tests the toy notebook's exercise names
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


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_printed_solution_passes_and_every_stub_does_not(chapter):
    exercises = coursework.exercises_of(CHAPTERS[chapter])
    assert len(exercises) >= 3
    solved = "\n".join(exercise.solution for exercise in exercises)
    for outcome, code in (
        ("passed", solved),
        ("not attempted", coursework.stubs(chapter, exercises)),
        ("not attempted", ""),
    ):
        grades = coursework.grade(chapter, exercises, code)
        assert [(g.exercise.label, g.outcome) for g in grades] == [
            (exercise.label, outcome) for exercise in exercises
        ]


WRONG = {  # an answer that is not right, and a part of the hint that it gets
    "operation": {
        "supervised": (lambda style, q, a: [True] * (q + a), "SFT style learns the answer alone"),
        "advantages": (lambda rewards: rewards, "subtract the mean reward"),
        "json_kept": (lambda answer, key: key in answer, "must be one JSON object"),
    },
    "freezing": {
        "repetition": (lambda ids, n: 0.0, "count the n-grams"),
        "own_tuning": (FreezeAttention(), "expected False"),
        "matched_reading": (lambda x, y, at: float(np.interp(at, x, y)), "points of the curve"),
    },
    "lora": {
        "rank_90": (np.linalg.matrix_rank, "square the singular values"),
        "beaten_by": (lambda learned, lost, others: sorted(others), "better in one"),
        "prediction": (lambda x, y, at: (4 - at, 0.1), "the new run's own scatter"),
    },
    "own_words": {
        "mask": (lambda nats, threshold: [n <= threshold for n in nats], "is the exponential"),
        "pick": (lambda drawn: min(drawn, key=lambda d: d[2])[0], "leave out the wrong ones"),
        "weight": (lambda shares: 1 - max(shares), "divided by the logarithm"),
    },
    "own_answers": {
        "labels_named": (lambda t, labels: {x for x in labels if x in t.lower()}, "whole words"),
        "rows_of_length": (lambda lengths, wanted: -(-wanted // lengths[0]), "go round the answ"),
        "change_shared": (lambda plain, control, other: 0.5, "that the control has too"),
    },
    "lamol": {
        "dreams_kept": (lambda ids, mark: None, "exactly one answer token splits a dream"),
        "projected": (lambda g, old: g, "take away the part along g_old"),
        "label_entropy": (lambda answers: 0.0, "expected 1: add up"),
    },
    "averaging": {
        "average": (lambda before, after, share: after, "the share of the way"),
        "arc": (lambda a, b: 0.0, "with the angle"),
        "choice": (lambda scores, half: (max(scores), 0.0), "the mean over all the others"),
    },
    "safety": {
        "told_apart": (lambda unsafe, safe: 0.5, "a tie counts half"),
        "half_life": (lambda refused: 0.0, "sort the steps"),
        "resta": (lambda tuned, aligned, harmful, share: tuned, "weight by weight"),
    },
    "adding": {
        "add_back": (lambda new, chat, base, share: chat, "share · (chat - base)"),
        "coefficients": (sum, "there is one of it to begin with"),
        "dose": (lambda gain, cost, most: max(gain), "leave out what costs more"),
    },
    "ears": {
        "turned_down": (lambda before, after, share: after, "share · (after − before)"),
        "obeys": (lambda curve, least: max(curve), "the largest; None without one"),
        "constant": (lambda labels: 1 / len(set(labels)), "the commonest label"),
    },
    "streams": {
        "memory": (lambda asked, right, k: asked[-k:], "the latest at the bottom"),
        "along": (lambda bits: [sum(bits) / len(bits)] * len(bits), "divided by t"),
        "help_area": (lambda margins, right: float(np.mean(right)), "mean over burdens"),
    },
    "skills": {
        "analogy": (lambda base, a, b, c: b, "weight by weight"),
        "shares": (lambda untouched, alone, models: models, "below 0 is worse than untouched"),
        "topic": (lambda before, after: after["hateful"] - before["hateful"], "minus the change"),
    },
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_wrong_answer_to_each_of_a_chapters_exercises_gets_a_hint(chapter):
    tests = import_module(f"forgetting.chapters.{chapter}.exercises")
    asked = [exercise.test for exercise in coursework.exercises_of(CHAPTERS[chapter])]
    assert {re.match(r"exercises\.(\w+)", test)[1] for test in asked} == set(WRONG[chapter])
    for name, (answer, hint) in WRONG[chapter].items():
        with pytest.raises(AssertionError, match=re.escape(hint)):
            getattr(tests, name)(answer)


def test_no_exercise_stands_outside_the_chapters():
    for page in (REPOSITORY / "book").rglob("*.md"):
        assert "{exercise" not in page.read_text(), f"{page.name}: nothing would grade it"


def test_an_exercise_is_read_from_its_notebook(tmp_path):
    (exercise,) = coursework.exercises_of(write_chapter(tmp_path))
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
        coursework.exercises_of(write_chapter(tmp_path, PROSE.replace(old, new)))


def test_a_stub_keeps_the_signature_and_the_imports_and_tells_the_exercise(tmp_path):
    text = coursework.stubs("toy", coursework.exercises_of(write_chapter(tmp_path)))
    assert text == (
        '"""Answers to the exercises of `toy`; test them: forgetting grade toy"""\n\n'
        "import math\n\n\n"
        "def twice(ids, n):\n"
        '    """Twice.\n\n'
        "    Write `twice(x)` with `x /in R`, and test it with `exercises.repetition(twice)`.\n"
        '    """\n'
        "    raise NotImplementedError\n"
    )


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
    (grade,) = coursework.grade(TOY, coursework.exercises_of(write_chapter(tmp_path)), code)
    assert grade.outcome == outcome and why in grade.why and "\n" not in grade.why


def test_a_chapter_without_tests_is_told_in_one_line(tmp_path):
    exercises = coursework.exercises_of(write_chapter(tmp_path))
    with pytest.raises(BadExercise, match=r"^chapter='toy': has no exercises\.py; write it"):
        coursework.grade("toy", exercises, "")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    write_chapter(tmp_path)
    own = tmp_path / "src" / "forgetting" / "chapters" / "toy"  # a chapter of another book
    own.mkdir(parents=True)
    (own / "__init__.py").touch()
    (own / "experiment.py").touch()
    (own / "exercises.py").write_text(f"from forgetting.chapters.{TOY}.exercises import repetition")
    return tmp_path


def grade(*options):
    return CliRunner().invoke(cli.app, ["grade", "toy", *options])


def test_from_stubs_to_all_passed(root):
    assert grade("--new").stdout == "answers/toy.py: 1 exercise, none answered yet\n"
    again = grade("--new")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    todo = grade()
    assert todo.exit_code == 1 and todo.stdout.endswith("0 of 1 exercise passed\n")
    assert re.search(r"Twice +not attempted", todo.stdout)

    (exercise,) = coursework.exercises_of(root / "notebooks" / "01_toy.ipynb")
    (root / "answers" / "toy.py").write_text(exercise.solution)
    done = grade()
    assert done.exit_code == 0 and re.search(r"Twice +passed", done.stdout)

    (root / "answers" / "toy.py").write_text("def twice(ids, n):\n    return 1 / 0\n")
    wrong = grade()
    assert wrong.exit_code == 1
    assert re.search(r"Twice +failed +line 2: ZeroDivisionError", wrong.stdout)
