"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from forgetting.chapters.marking import mark

Numbers = Sequence[float]


def turned_down(answer: Callable[[Numbers, Numbers, float], Numbers]) -> str:
    """Exercise 1: weights with a share of what an adapter added."""
    cases = [
        ([1.0, 2.0], [3.0, 2.0], 1.0, [3.0, 2.0]),
        ([1.0, 2.0], [3.0, 2.0], 0.0, [1.0, 2.0]),
        ([1.0, 2.0], [3.0, 0.0], 0.25, [1.5, 1.5]),
    ]
    hint = "before + share · (after − before)"
    return mark("turned_down", answer, cases, hint, _close)


def obeys(answer: Callable[[Mapping[float, tuple[float, float]], float], float | None]) -> str:
    """Exercise 2: the largest share of the adapter that still obeys."""
    curve = {0.0: (0.3, 0.9), 0.25: (0.4, 0.9), 0.5: (0.7, 0.8), 0.75: (0.75, 0.2), 1.0: (0.8, 0.0)}
    cases = [(curve, 0.75, 0.5), (curve, 0.85, 0.25), (curve, 0.1, 0.75), (curve, 0.95, None)]
    hint = "of the shares whose second number is at least so much, the largest; None without one"
    return mark("obeys", answer, cases, hint)


def constant(answer: Callable[[Sequence[str]], float]) -> str:
    """Exercise 3: what is right for whoever always says the same."""
    cases: list[tuple[Any, ...]] = [
        (["man", "woman", "woman"], 2 / 3),
        (["hum"], 1.0),
        (["slow", "fast", "normal", "slow"], 0.5),
    ]
    return mark("constant", answer, cases, "the share of the commonest label", _close)


def _close(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other))
