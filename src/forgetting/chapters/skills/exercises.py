"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from forgetting.chapters.marking import mark

Vector = Sequence[float]


def analogy(answer: Callable[[Vector, Vector, Vector, Vector], Vector]) -> str:
    """Exercise 1: A is to B as C is to the result, from the base and three models of it."""
    cases = [
        ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [1.0, 1.0]),
        ([1.0, 1.0], [1.0, 1.0], [3.0, 1.0], [1.0, 5.0], [3.0, 5.0]),
        ([1.0, 2.0], [4.0, 4.0], [4.0, 4.0], [7.0, 7.0], [7.0, 7.0]),
    ]
    hint = "base + (C - base) + (B - base) - (A - base), weight by weight"
    return mark("analogy", lambda *given: np.asarray(answer(*given)), cases, hint, np.allclose)


def shares(answer: Callable[[float, float, Vector], Vector]) -> str:
    """Exercise 2: how much of a single training's gain each of several models has."""
    cases = [
        (3.0, 1.0, [3.0, 2.0, 1.0], [0.0, 0.5, 1.0]),
        (2.0, 1.5, [2.5, 1.25], [-1.0, 1.5]),
        (4.0, 2.0, [], []),
    ]
    hint = "(untouched - model) ÷ (untouched - alone); below 0 is worse than untouched"
    return mark("shares", answer, cases, hint, np.allclose)


def topic(answer: Callable[[Mapping[str, float], Mapping[str, float]], float]) -> str:
    """Exercise 3: how much more the hateful sentences lost than the harmless ones."""
    before = {"hateful": 4.0, "harmless": 3.5}
    cases = [
        (before, {"hateful": 5.0, "harmless": 3.5}, 1.0),
        (before, {"hateful": 5.0, "harmless": 4.5}, 0.0),
        (before, {"hateful": 4.0, "harmless": 4.5}, -1.0),
        (before, before, 0.0),
    ]
    hint = "the change of the hateful ones minus the change of the harmless ones"
    return mark("topic", answer, cases, hint, np.isclose)
