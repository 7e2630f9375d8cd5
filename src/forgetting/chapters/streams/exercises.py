"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from forgetting.chapters.marking import mark

Bits = Sequence[bool]


def memory(answer: Callable[[Sequence[str], Bits, int], Sequence[str]]) -> str:
    """Exercise 1: what stands in the prompt of the next question."""
    asked = ["a", "b", "c", "d"]
    cases = [
        (asked, [True, False, True, True], 2, ["c", "d"]),
        (asked, [True, False, False, False], 2, ["a"]),
        (asked, [False] * 4, 3, []),
        (asked, [True] * 4, 3, ["b", "c", "d"]),
    ]
    hint = "of the questions that were answered rightly, the last k, the latest at the bottom"
    return mark("memory", lambda *case: list(answer(*case)), cases, hint)


def along(answer: Callable[[Bits], Sequence[float]]) -> str:
    """Exercise 2: the share of right answers so far, after each question."""
    cases = [
        ([True, False, False, True], [1.0, 0.5, 1 / 3, 0.5]),
        ([False], [0.0]),
        ([True, True], [1.0, 1.0]),
    ]
    hint = "after t questions: right ones among the first t, divided by t"
    return mark("along", lambda bits: np.asarray(answer(bits), float), cases, hint, _close)


def help_area(answer: Callable[[Sequence[float], Bits], float]) -> str:
    """Exercise 3: the area under right answers over the share of questions asked for."""
    cases: list[tuple[Any, ...]] = [
        ([0.1, 2.0], [False, True], (0.5 + 1 + 1) / 3),
        ([2.0, 0.1], [False, True], (0.5 + 0.5 + 1) / 3),
        ([1.0, 2.0, 3.0], [False, False, False], (0 + 1 / 3 + 2 / 3 + 1) / 4),
        ([1.0, 2.0], [True, True], 1.0),
    ]
    hint = "mean over burdens 0, 1/n, …, 1; the smallest margins are asked, and are right then"
    return mark("help_area", answer, cases, hint, _close)


def _close(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other))
