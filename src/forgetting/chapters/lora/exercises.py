"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from forgetting.chapters.marking import mark


def rank_90(answer: Callable[[np.ndarray], int]) -> str:
    """Exercise 1: how many singular values hold 90 % of a matrix's energy."""
    rng = np.random.default_rng(0)
    matrices = {
        "the identity of size 100": np.eye(100),
        "a column times a row": np.outer(rng.normal(size=7), rng.normal(size=5)),
        "diag(3, 1, 1)": np.diag([3.0, 1.0, 1.0]),
        "diag(5, 1, 1)": np.diag([5.0, 1.0, 1.0]),
    }
    hint = (
        "square the singular values, add them up from the largest, and stop where nine tenths of "
        "their sum are reached"
    )
    cases = zip(matrices, (90, 1, 2, 1), strict=True)
    return mark("rank_90", lambda name: answer(matrices[name]), cases, hint)


def beaten_by(answer: Callable[[float, float, Mapping[str, tuple]], Sequence[str]]) -> str:
    """Exercise 2: which runs learned at least as much and lost at most as much."""
    others = {"a": (1.0, 0.2), "b": (0.5, 0.1), "c": (0.5, 0.4), "d": (2.0, 0.9)}
    cases: tuple[tuple[Any, ...], ...] = (
        (0.5, 0.4, others, ["a", "b"]),
        (1.0, 0.2, others, []),
        (0.9, 0.2, others, ["a"]),
        (3.0, 9.0, others, []),
    )
    hint = "a run beats another that is at least as good in both, better in one"
    return mark("place", lambda *case: sorted(answer(*case)), cases, hint)


def prediction(
    answer: Callable[[Sequence[float], Sequence[float], float], tuple[float, float]],
) -> str:
    """Exercise 3: a line's prediction for a new run, with its 95 % interval.

    The interval must hold the new run in 95 % of 400 studies of eight runs, give or take three.
    """
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        loss = rng.uniform(1, 3, size=9)
        forgetting = 4 - loss + 0.2 * rng.normal(size=9)
        guess, half = answer(list(loss[:8]), list(forgetting[:8]), float(loss[8]))
        held += abs(guess - forgetting[8]) <= half
    share = held / 400
    hint = "add the new run's own scatter" if share < 0.92 else "it is too wide; check the spread"
    words = f"your interval holds {share:.0%} of new runs, it should hold 95 %: {hint}"
    assert 0.92 <= share <= 0.98, words
    return "correct"
