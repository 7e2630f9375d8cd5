"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.models.parts import Part
from forgetting.tasks import metrics
from forgetting.tuning import Tuning


def repetition(answer: Callable[[Sequence[int], int], float]) -> str:
    """Exercise 1: the n-gram repetition score of Li & Lee (2024)."""
    cases = [([1, 2, 3, 4], 2), ([1, 1, 1, 1], 2), ([1, 2, 1, 2, 1, 2], 2), ([1, 2], 4), ([7], 1)]
    for ids, n in cases:
        expected = metrics.repetition(ids, n)
        reply = answer(ids, n)
        assert np.isclose(reply, expected), (
            f"repetition({ids}, {n}) gave {reply:g}, expected {expected:g}: count the n-grams of "
            "one sequence, divide the distinct ones by all, and let short sequences be 0"
        )
    return "correct"


def own_tuning(answer: Tuning) -> str:
    """Exercise 2: a tuning that moves the norms alone."""
    inside = [Part(kind, 3) for kind in ("norm", "mlp", "attention")]
    for part in (*inside, Part("norm", None), Part("embedding", None)):
        moves, expected = answer.trains(part, 30), part.kind == "norm"
        assert moves is expected, f"trains({part}, 30) gave {moves}, expected {expected}"
    return "correct"


def matched_reading(answer: Callable[[Sequence[float], Sequence[float], float], float]) -> str:
    """Exercise 3: what a method would have lost at another method's learning."""
    learned, lost = [0.0, 0.2, 0.4], [0.0, 0.1, 0.5]
    for where, expected in ((0.1, 0.05), (0.3, 0.3), (0.4, 0.5)):
        reply = answer(learned, lost, where)
        assert np.isclose(reply, expected), (
            f"at learned={where:g} your reading is {reply:g}, expected {expected:g}: interpolate "
            "linearly between the two neighbouring points of the curve"
        )
    try:
        answer(learned, lost, 0.9)
    except ValueError:
        return "correct"
    raise AssertionError("at learned=0.9 the curve says nothing: raise a ValueError")
