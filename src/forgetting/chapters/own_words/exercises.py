"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.chapters.marking import mark


def mask(answer: Callable[[Sequence[float], float], Sequence[bool]]) -> str:
    """Exercise 1: which tokens selective masking keeps."""
    nats = [0.1, 0.9, 0.95, 7.5]
    cases = (
        (nats, 2.5, [True, True, False, False]),
        (nats, 1e3, [True, True, True, False]),
        (nats, float("inf"), [True] * 4),
    )
    hint = "a perplexity is the exponential of nats, and a token at most that surprising stays"
    return mark("mask", lambda *case: list(answer(*case)), cases, hint)


def pick(answer: Callable[[Sequence[tuple[str, bool, float]]], str | None]) -> str:
    """Exercise 2: the right answer that surprises least."""
    answers = [("f(1)", False, 0.1), ("f(2)", True, 0.8), ("f( 2 )", True, 0.4)]
    cases = ((answers, "f( 2 )"), (answers[:1], None), (answers[:2], "f(2)"))
    hint = "leave out the wrong ones, then take the fewest nats"
    return mark("pick", answer, cases, hint)


def weight(answer: Callable[[Sequence[float]], float]) -> str:
    """Exercise 3: the weight of entropy-adaptive fine-tuning (arXiv 2601.02151)."""
    cases = (([0.25] * 4, 1.0), ([1.0, 0.0], 0.0), ([0.5, 0.25, 0.25], 0.946395))
    hint = "the entropy in nats, divided by the logarithm of how many shares there are"
    return mark("weight", answer, cases, hint, lambda a, b: np.isclose(a, b, atol=1e-6))
