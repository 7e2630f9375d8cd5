"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def labels_named(answer: Callable[[str, Sequence[str]], set[str]]) -> str:
    """Exercise 1: the labels that an answer in any words names."""
    labels = ["negative", "positive"]
    for text, expected in (
        ("The review is Positive.", {"positive"}),
        ("not negative but positive", {"negative", "positive"}),
        ("**NEGATIVE**", {"negative"}),
        ("It speaks negatively of the plot.", set()),
        ("", set()),
    ):
        reply = set(answer(text, labels))
        assert reply == expected, (
            f"named({text!r}, {labels}) gave {reply}, expected {expected}: whole words, in any case"
        )
    return "correct"


def rows_of_length(answer: Callable[[Sequence[int], int], int]) -> str:
    """Exercise 2: how many short answers hold as many tokens as the long ones."""
    for lengths, wanted, expected in (
        ([2, 2], 9, 4),  # one token is missing: to add an answer of two would be no nearer
        ([2, 2], 10, 5),
        ([3, 5], 8, 2),
        ([3, 5], 1, 1),  # never none at all
        ([4, 1], 20, 8),
    ):
        reply = answer(lengths, wanted)
        assert reply == expected, (
            f"rows({lengths}, {wanted}) gave {reply}, expected {expected}: go round the answers "
            "while more than half of the next one's tokens is missing, and take one at least"
        )
    return "correct"


def change_shared(
    answer: Callable[[Sequence[float], Sequence[float], Sequence[float]], float],
) -> str:
    """Exercise 3: how much of an effect a control explains."""
    for plain, control, other, expected in (
        ([4.0, 6.0], [3.0, 5.0], [1.0, 3.0], 1 / 3),
        ([2.0, 2.0], [2.0, 2.0], [1.0, 1.0], 0.0),
        ([2.0, 4.0], [1.0, 1.0], [1.0, 1.0], 1.0),
    ):
        reply = answer(plain, control, other)
        assert np.isclose(reply, expected), (
            f"share({plain}, {control}, {other}) gave {reply:g}, expected {expected:g}: of the "
            "difference between the first and the last, the part that the control has too"
        )
    return "correct"
