"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from forgetting.chapters.marking import mark

Weights = Mapping[str, np.ndarray]


def add_back(answer: Callable[[Weights, Weights, Weights, float], Weights]) -> str:
    """Exercise 1: a share of what a chat model learned, added to a model of the same base."""
    new, chat, base = ({"w": np.array(values)} for values in ([3.0, 1.0], [2.0, 0.0], [1.0, 1.0]))
    cases = [
        (new, chat, base, 0.0, [3.0, 1.0]),
        (new, chat, base, 1.0, [4.0, 0.0]),
        (new, chat, base, 0.5, [3.5, 0.5]),
        (base, chat, base, 1.0, [2.0, 0.0]),
        (new, chat, new, 1.0, [2.0, 0.0]),
    ]
    hint = "new + share · (chat - base), weight by weight"
    return mark("add_back", lambda *given: answer(*given)["w"], cases, hint, np.allclose)


def coefficients(answer: Callable[[Sequence[float]], float]) -> str:
    """Exercise 2: how often the base counts in a sum of vectors."""
    sums = {(1.0,): 0.0, (0.5, 0.5): 0.0, (1.0, 1.0): -1.0, (0.25,): 0.75, (): 1.0}
    cases = [(list(shares), of_base) for shares, of_base in sums.items()]
    hint = "each λ(model - base) takes λ of the base away; there is one of it to begin with"
    return mark("coefficients", answer, cases, hint, np.isclose)


def dose(answer: Callable[[Mapping[float, float], Mapping[float, float], float], float]) -> str:
    """Exercise 3: the λ with the largest gain among those that cost no more than is allowed."""
    gain = {0.0: 0.0, 0.5: 0.2, 1.0: 0.3, 1.5: 0.1}
    cost = {0.0: 0.0, 0.5: 0.05, 1.0: 0.2, 1.5: 0.6}
    cases = [
        (gain, cost, 0.1, 0.5),
        (gain, cost, 0.2, 1.0),
        (gain, cost, 9.0, 1.0),
        (gain, cost, 0.0, 0.0),
        ({0.0: 0.0, 0.5: -0.1}, {0.0: 0.0, 0.5: -0.2}, 0.1, 0.0),
    ]
    hint = "leave out what costs more than `most`, then take the λ with the largest gain"
    return mark("dose", answer, cases, hint, np.isclose)
