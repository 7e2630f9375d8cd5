"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.chapters.marking import mark
from forgetting.tasks import metrics


def supervised(answer: Callable[[str, int, int], Sequence[bool]]) -> str:
    """Exercise 1: which tokens of a question and its answer the loss runs over."""
    cases = [
        (style, question, given, [style == "pre-train"] * question + [True] * given)
        for style, question, given in (("pre-train", 3, 2), ("SFT", 3, 2), ("SFT", 1, 4))
    ]
    hint = "SFT style learns the answer alone, pre-train style all that it reads"
    return mark("supervised", lambda *case: list(answer(*case)), cases, hint)


def advantages(answer: Callable[[Sequence[float]], Sequence[float]]) -> str:
    """Exercise 2: how much better each answer did than its siblings."""
    rewards = ([1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0], [1, 1])
    cases = [(given, [reward - np.mean(given) for reward in given]) for given in rewards]
    hint = "subtract the mean reward of the question's answers"
    return mark("advantages", answer, cases, hint, np.allclose)


def json_kept(answer: Callable[[str, str], bool]) -> str:
    """Exercise 3: whether an answer is a JSON object that has a key."""
    texts = (
        '{"sentiment": "positive"}',
        '{"mood": "positive"}',
        "positive",
        '["sentiment"]',
        '{"sentiment": "positive"',
        'The answer: {"sentiment": "positive"}',
    )
    key = "sentiment"
    cases = [(text, key, key in (metrics.json_object(text) or {})) for text in texts]
    hint = "the whole answer must be one JSON object, and the object must have the key"
    return mark("json_kept", lambda *case: bool(answer(*case)), cases, hint)
