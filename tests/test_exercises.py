"""The printed solutions pass their tests, and the stubs a reader starts from do not."""

import re

import nbformat
import pytest

from forgetting import exercises
from forgetting.records import project_root

NOTEBOOK = project_root() / "notebooks" / "01_freezing.ipynb"


def solution(label):
    """The names that the solution printed for exercise `label` defines."""
    text = "\n".join(c.source for c in nbformat.read(NOTEBOOK, 4).cells)
    block = re.search(rf"solution-start}} {label}.*?```python\n(.*?)```", text, re.S)
    assert block, label
    names = {}
    exec(block[1], names)
    return names


def test_printed_solutions_are_correct():
    assert exercises.repetition(solution("freezing-repetition")["repetition"]) == "correct"
    assert exercises.own_tuning(solution("freezing-norms")["OnlyNorms"]()) == "correct"
    assert exercises.matched_reading(solution("freezing-matched")["read"]) == "correct"


def test_wrong_answers_get_a_hint():
    from forgetting.tuning import FreezeAttention

    with pytest.raises(AssertionError, match="count the n-grams"):
        exercises.repetition(lambda ids, n: 0.0)
    with pytest.raises(AssertionError, match="expected False"):
        exercises.own_tuning(FreezeAttention())
    with pytest.raises(AssertionError, match="raise a ValueError"):
        import numpy as np

        exercises.matched_reading(lambda x, y, at: float(np.interp(at, x, y)))


def test_three_exercises_a_chapter():
    for path in NOTEBOOK.parent.glob("*.ipynb"):
        text = "\n".join(c.source for c in nbformat.read(path, 4).cells)
        assert text.count("{exercise-start}") >= 3
        assert text.count("{exercise-start}") == text.count("{solution-start}")
