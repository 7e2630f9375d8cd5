"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.tasks import metrics


def supervised(answer: Callable[[str, int, int], Sequence[bool]]) -> str:
    """Exercise 1: which tokens of a question and its answer the loss runs over."""
    for style, question, given in (("pre-train", 3, 2), ("SFT", 3, 2), ("SFT", 1, 4)):
        reply = list(answer(style, question, given))
        expected = [style == "pre-train"] * question + [True] * given
        assert reply == expected, (
            f"supervised({style!r}, {question}, {given}) gave {reply}, expected {expected}: SFT "
            "style learns the answer alone, pre-train style all that it reads"
        )
    return "correct"


def advantages(answer: Callable[[Sequence[float]], Sequence[float]]) -> str:
    """Exercise 2: how much better each answer did than its siblings."""
    for rewards in ([1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0], [1, 1]):
        expected = np.array(rewards) - np.mean(rewards)
        reply = np.array(answer(rewards), dtype=float)
        assert np.allclose(reply, expected), (
            f"advantages({rewards}) gave {reply.tolist()}, expected {expected.tolist()}: subtract "
            "the mean reward of the question's answers"
        )
    return "correct"


def json_kept(answer: Callable[[str, str], bool]) -> str:
    """Exercise 3: whether an answer is a JSON object that has a key."""
    cases = (
        '{"sentiment": "positive"}',
        '{"mood": "positive"}',
        "positive",
        '["sentiment"]',
        '{"sentiment": "positive"',
        'The answer: {"sentiment": "positive"}',
    )
    for text in cases:
        expected = "sentiment" in (metrics.json_object(text) or {})
        reply = answer(text, "sentiment")
        assert bool(reply) is expected, (
            f"json_kept({text!r}, 'sentiment') gave {reply}, expected {expected}: the whole answer "
            "must be one JSON object, and the object must have the key"
        )
    return "correct"
