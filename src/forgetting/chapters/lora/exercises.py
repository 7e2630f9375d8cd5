"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def rank_90(answer: Callable[[np.ndarray], int]) -> str:
    """Exercise 1: how many singular values hold 90 % of a matrix's energy."""
    drawn = np.random.default_rng(0)
    line = np.outer(drawn.normal(size=7), drawn.normal(size=5))
    cases = {
        "the identity of size 100": (np.eye(100), 90),
        "a column times a row": (line, 1),
        "diag(3, 1, 1)": (np.diag([3.0, 1.0, 1.0]), 2),
        "diag(5, 1, 1)": (np.diag([5.0, 1.0, 1.0]), 1),
    }
    for words, (matrix, expected) in cases.items():
        reply = answer(matrix)
        assert reply == expected, (
            f"{words} gave {reply}, expected {expected}: square the singular values, add them up "
            "from the largest, and stop where nine tenths of their sum are reached"
        )
    return "correct"


def beaten_by(
    answer: Callable[[float, float, dict[str, tuple[float, float]]], list[str]],
) -> str:
    """Exercise 2: which runs learned at least as much and lost at most as much."""
    others = {"a": (1.0, 0.2), "b": (0.5, 0.1), "c": (0.5, 0.4), "d": (2.0, 0.9)}
    for (learned, lost), expected in (
        ((0.5, 0.4), ["a", "b"]),
        ((1.0, 0.2), []),
        ((0.9, 0.2), ["a"]),
        ((3.0, 9.0), []),
    ):
        reply = sorted(answer(learned, lost, others))
        assert reply == expected, (
            f"a run that learned {learned:g} and lost {lost:g} is beaten by {expected}, you say "
            f"{reply}: at least as good in both, better in one"
        )
    return "correct"


def prediction(
    answer: Callable[[Sequence[float], Sequence[float], float], tuple[float, float]],
) -> str:
    """Exercise 3: a line's prediction for a new run, with its 95 % interval.

    The interval must hold the new run in 95 % of 400 studies of eight runs, give or take three.
    """
    drawn = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        loss = drawn.uniform(1, 3, size=9)
        forgetting = 4 - loss + 0.2 * drawn.normal(size=9)
        guess, half = answer(list(loss[:8]), list(forgetting[:8]), float(loss[8]))
        held += abs(guess - forgetting[8]) <= half
    share = held / 400
    assert 0.92 <= share <= 0.98, (
        f"your interval holds {share:.0%} of new runs, it should hold 95 %: "
        + ("add the new run's own scatter" if share < 0.92 else "it is too wide; check the spread")
    )
    return "correct"
