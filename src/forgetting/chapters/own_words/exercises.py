"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def mask(answer: Callable[[Sequence[float], float], Sequence[bool]]) -> str:
    """Exercise 1: which tokens selective masking keeps."""
    nats = [0.1, 0.9, 0.95, 7.5]
    for threshold, expected in ((2.5, [True, True, False, False]), (1e3, [True] * 3 + [False])):
        reply = list(answer(nats, threshold))
        assert reply == expected, (
            f"mask({nats}, {threshold:g}) gave {reply}, expected {expected}: a perplexity is the "
            "exponential of nats, and a token at most that surprising stays"
        )
    assert all(answer(nats, float("inf"))), "without a threshold every token stays"
    return "correct"


def pick(answer: Callable[[Sequence[tuple[str, bool, float]]], str | None]) -> str:
    """Exercise 2: the right answer that surprises least."""
    drawn = [("f(1)", False, 0.1), ("f(2)", True, 0.8), ("f( 2 )", True, 0.4)]
    for answers, expected in ((drawn, "f( 2 )"), (drawn[:1], None), (drawn[:2], "f(2)")):
        reply = answer(answers)
        assert reply == expected, (
            f"of {answers} you take {reply!r}, expected {expected!r}: leave out the wrong ones, "
            "then take the fewest nats"
        )
    return "correct"


def weight(answer: Callable[[Sequence[float]], float]) -> str:
    """Exercise 3: the weight of entropy-adaptive fine-tuning (arXiv 2601.02151)."""
    for shares, expected in (([0.25] * 4, 1.0), ([1.0, 0.0], 0.0), ([0.5, 0.25, 0.25], 0.946395)):
        reply = answer(shares)
        assert np.isclose(reply, expected, atol=1e-6), (
            f"weight({shares}) gave {reply:g}, expected {expected:g}: the entropy in nats, divided "
            "by the logarithm of how many shares there are"
        )
    return "correct"
