"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from forgetting.chapters.marking import mark
from forgetting.objectives.gem import gem_multipliers
from forgetting.recipes import lamol_form


def dreams_kept(
    answer: Callable[[Sequence[int], int], tuple[Sequence[int], Sequence[int]] | None],
) -> str:
    """Exercise 1: question and answer of a dream, or None where it is refused."""

    def parts(dream: Sequence[Sequence[int]] | None) -> Any:
        return None if dream is None else tuple(map(list, dream))

    dreams: tuple[list[int], ...] = ([1, 2, 9, 3], [1, 2], [9, 1, 9], [9, 4], [1, 9], [9], [])
    cases = [(dream, 9, parts(lamol_form.split(list(dream), 9))) for dream in dreams]
    hint = "exactly one answer token splits a dream, and its parts may be empty"
    return mark("kept", lambda *case: parts(answer(*case)), cases, hint)


def projected(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Exercise 2: GEM's gradient with one old task and no margin."""
    rng = np.random.default_rng(0)
    pairs = [(np.array([1.0, 0.0]), np.array([-1.0, 1.0])), (np.ones(3), np.ones(3))]
    pairs += [(rng.normal(size=5), rng.normal(size=5)) for _ in range(20)]
    cases = []
    for new, old in pairs:
        products, hurt = np.array([[old @ old]]), np.array([new @ old])
        cases.append((new, old, new + gem_multipliers(products, hurt, 0.0)[0] * old))
    hint = "where they disagree take away the part along g_old, and leave g alone where they agree"
    return mark("project", answer, cases, hint, lambda a, b: np.allclose(a, b, atol=1e-6))


def label_entropy(answer: Callable[[Sequence[str]], float]) -> str:
    """Exercise 3: the entropy of dreamt answers, in bits."""
    cases = (
        (["positive", "negative"] * 4, 1.0),
        (["positive"] * 8, 0.0),
        (["a", "b", "c", "d"], 2.0),
        (["a", "a", "a", "b"], 0.8112781),
    )
    hint = "add up -p·log2(p) over the different answers, p being how often each stands there"
    return mark("entropy", answer, cases, hint, np.isclose)
