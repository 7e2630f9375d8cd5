"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from forgetting.chapters.marking import mark


def told_apart(answer: Callable[[Sequence[float], Sequence[float]], float]) -> str:
    """Exercise 1: the area under the curve, from scores of unsafe prompts and of safe ones."""
    cases = [
        ((2.0, 3.0), (0.0, 1.0), 1.0),
        ((0.0, 1.0), (2.0, 3.0), 0.0),
        ((1.0, 1.0), (1.0, 1.0), 0.5),
        ((3.0, 1.0), (2.0, 0.0, 1.0), 4.5 / 6),
        ((-5.0, -4.0, -3.0), (-3.5,), 1 / 3),
    ]
    hint = "over all pairs, the share in which the unsafe prompt scores higher; a tie counts half"
    return mark("told_apart", answer, cases, hint, np.isclose)


def half_life(answer: Callable[[Mapping[int, float]], float]) -> str:
    """Exercise 2: after how many steps half of the refusals are gone."""
    cases = [
        ({0: 0.8, 10: 0.4, 20: 0.0}, 10.0),
        ({0: 0.8, 10: 0.6, 20: 0.2}, 15.0),
        ({0: 1.0, 4: 0.0}, 2.0),
        ({0: 0.6, 5: 0.5, 50: 0.4}, math.inf),
        ({20: 0.0, 0: 0.8, 10: 0.4}, 10.0),
    ]
    hint = "sort the steps; between two of them go in a line; math.inf where half is never reached"
    return mark("half_life", answer, cases, hint, np.isclose)


def resta(
    answer: Callable[
        [Mapping[str, np.ndarray], Mapping[str, np.ndarray], Mapping[str, np.ndarray], float],
        Mapping[str, np.ndarray],
    ],
) -> str:
    """Exercise 3: a fine-tuned model and a share of the way from harmful to aligned."""
    tuned, aligned, harmful = (
        {"w": np.array(values)} for values in ([1.0, 1.0], [0.0, 2.0], [0.5, -2.0])
    )
    cases = [
        (tuned, aligned, harmful, 0.0, [1.0, 1.0]),
        (tuned, aligned, harmful, 0.5, [0.75, 3.0]),
        (aligned, aligned, aligned, 2.0, [0.0, 2.0]),
        (harmful, aligned, harmful, 1.0, [0.0, 2.0]),
    ]
    hint = "tuned + share · (aligned - harmful), weight by weight"
    return mark("resta", lambda *given: answer(*given)["w"], cases, hint, np.allclose)
