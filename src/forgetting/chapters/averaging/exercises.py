"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from forgetting.chapters.marking import mark

Weights = Mapping[str, np.ndarray]


def average(answer: Callable[[Weights, Weights, float], Weights]) -> str:
    """Exercise 1: a model between two others, weight by weight."""
    before = {"w": np.array([[1.0, 2.0]]), "b": np.array([0.0])}
    after = {"w": np.array([[3.0, 2.0]]), "b": np.array([-1.0])}
    cases = [
        (before, after, 0.0, [1.0, 2.0, 0.0]),
        (before, after, 1.0, [3.0, 2.0, -1.0]),
        (before, after, 0.25, [1.5, 2.0, -0.25]),
        (after, before, 0.25, [2.5, 2.0, -0.75]),
    ]
    hint = "λ is the share of the way from before to after; every name, every weight"

    def flat(*given: Any) -> np.ndarray:
        weights = answer(*given)
        return np.concatenate([np.ravel(weights[name]) for name in ("w", "b")])

    return mark("average", flat, cases, hint, np.allclose)


def arc(answer: Callable[[Sequence[float], Sequence[float]], float]) -> str:
    """Exercise 2: how far half way along the arc lies from half way along the chord."""
    cases = [
        ((1.0, 0.0), (0.0, 1.0), 1 - math.sqrt(0.5)),
        ((2.0, 0.0), (2.0, 0.0), 0.0),
        ((1.0, 0.0), (math.cos(0.01), math.sin(0.01)), 1 - math.cos(0.005)),
    ]
    hint = "with the angle Ω between a and b: |sin(Ω/2)/sin Ω (a + b) - (a + b)/2|; 0 where Ω is 0"
    return mark("arc", answer, cases, hint, lambda x, y: bool(np.isclose(x, y, atol=1e-9)))


def choice(
    answer: Callable[[Mapping[float, Sequence[float]], Sequence[int]], tuple[float, float]],
) -> str:
    """Exercise 3: a λ chosen on some items and reported on the others."""
    scores = {0.25: [1.0, 1.0, 0.0, 0.0], 0.5: [0.0, 0.6, 0.8, 0.7], 0.75: [0.9, 0.0, 0.0, 1.0]}
    cases = [
        (scores, (0, 1), (0.25, 0.0)),
        (scores, (2, 3), (0.5, 0.3)),
        (scores, (0, 3), (0.75, 0.0)),
    ]
    hint = "the best mean over the chosen items; then the mean over all the others of that λ"
    return mark("choice", lambda *case: tuple(answer(*case)), cases, hint, np.allclose)
