"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from forgetting.chapters.marking import mark


def sureness(answer: Callable[[Any, float], float]) -> str:
    """Exercise 1: mean entropy of the frames in which something is heard."""
    logits = np.log([[0.7, 0.3], [0.6, 0.4], [0.25, 0.75]])
    cases = [
        (logits, 1.0, -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))),
        (np.array([[0.0, 5.0], [0.0, 2.5]]), 2.5, (0.3653 + 0.5822) / 2),
        (np.array([[3.0, 0.0]]), 1.0, 0.0),
    ]
    hint = "softmax of logits / T; only frames whose likeliest class is not 0; 0 where none is"
    return mark("sureness", lambda z, t: float(answer(z, t)), cases, hint, _close)


def word_errors(answer: Callable[[str, str], float]) -> str:
    """Exercise 2: the word error rate."""
    cases = [
        ("a b c d", "a b c d", 0.0),
        ("a b c d", "a x c", 0.5),
        ("a b", "", 1.0),
        ("a", "a b c", 2.0),
    ]
    hint = "the least substitutions, deletions and insertions, over the words that were said"
    return mark("word_errors", answer, cases, hint, _close)


def decoded(answer: Callable[[list[int]], list[int]]) -> str:
    """Exercise 3: what a path of classes is read as."""
    cases = [
        ([0, 1, 1, 0, 1, 2, 2, 0], [1, 1, 2]),
        ([0, 0, 0], []),
        ([3, 3, 3], [3]),
    ]
    hint = "repeats are one first, blanks (0) are left out after: a blank parts two equal letters"
    return mark("decoded", lambda path: list(answer(path)), cases, hint)


def _close(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, atol=1e-3))
