"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.objectives.gem import gem_multipliers
from forgetting.recipes import lamol_form


def dreams_kept(
    answer: Callable[[Sequence[int], int], tuple[Sequence[int], Sequence[int]] | None],
) -> str:
    """Exercise 1: question and answer of a dream, or None where it is refused."""
    mark = 9
    for dream in ([1, 2, 9, 3], [1, 2], [9, 1, 9], [9, 4], [1, 9], [9], []):
        expected = lamol_form.split(list(dream), mark)
        reply = answer(dream, mark)
        asked = None if reply is None else tuple(map(list, reply))
        assert asked == (None if expected is None else tuple(expected)), (
            f"{dream} with answer token {mark} gave {reply}, expected {expected}: exactly one "
            "answer token splits a dream, and its parts may be empty"
        )
    return "correct"


def projected(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Exercise 2: GEM's gradient with one old task and no margin."""
    drawn = np.random.default_rng(0)
    cases = [(np.array([1.0, 0.0]), np.array([-1.0, 1.0])), (np.ones(3), np.ones(3))]
    cases += [(drawn.normal(size=5), drawn.normal(size=5)) for _ in range(20)]
    for new, old in cases:
        products, hurt = np.array([[old @ old]]), np.array([new @ old])
        expected = new + gem_multipliers(products, hurt, 0.0)[0] * old
        reply = np.asarray(answer(new, old))
        assert np.allclose(reply, expected, atol=1e-6), (
            f"g={np.round(new, 2)}, g_old={np.round(old, 2)} gave {np.round(reply, 2)}, expected "
            f"{np.round(expected, 2)}: where they disagree take away the part along g_old, and "
            "leave g alone where they agree"
        )
    return "correct"


def label_entropy(answer: Callable[[Sequence[str]], float]) -> str:
    """Exercise 3: the entropy of dreamt answers, in bits."""
    for answers, expected in (
        (["positive", "negative"] * 4, 1.0),
        (["positive"] * 8, 0.0),
        (["a", "b", "c", "d"], 2.0),
        (["a", "a", "a", "b"], 0.8112781),
    ):
        reply = answer(answers)
        assert np.isclose(reply, expected), (
            f"{answers} gave {reply:g} bits, expected {expected:g}: add up -p·log2(p) over the "
            "different answers, p being how often each stands there"
        )
    return "correct"
