"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.chapters.marking import mark


def labels_named(answer: Callable[[str, Sequence[str]], set[str]]) -> str:
    """Exercise 1: the labels that an answer in any words names."""
    labels = ["negative", "positive"]
    cases = (
        ("The review is Positive.", labels, {"positive"}),
        ("not negative but positive", labels, {"negative", "positive"}),
        ("**NEGATIVE**", labels, {"negative"}),
        ("It speaks negatively of the plot.", labels, set[str]()),
        ("", labels, set[str]()),
    )
    return mark("named", lambda *case: set(answer(*case)), cases, "whole words, in any case")


def rows_of_length(answer: Callable[[Sequence[int], int], int]) -> str:
    """Exercise 2: how many short answers hold as many tokens as the long ones."""
    cases = (
        ([2, 2], 9, 4),  # one token is missing: to add an answer of two would be no nearer
        ([2, 2], 10, 5),
        ([3, 5], 8, 2),
        ([3, 5], 1, 1),  # never none at all
        ([4, 1], 20, 8),
    )
    hint = (
        "go round the answers while more than half of the next one's tokens is missing, and take "
        "one at least"
    )
    return mark("rows", answer, cases, hint)


def change_shared(
    answer: Callable[[Sequence[float], Sequence[float], Sequence[float]], float],
) -> str:
    """Exercise 3: how much of an effect a control explains."""
    cases = (
        ([4.0, 6.0], [3.0, 5.0], [1.0, 3.0], 1 / 3),
        ([2.0, 2.0], [2.0, 2.0], [1.0, 1.0], 0.0),
        ([2.0, 4.0], [1.0, 1.0], [1.0, 1.0], 1.0),
    )
    hint = "of the difference between the first and the last, the part that the control has too"
    return mark("share", answer, cases, hint, np.isclose)
