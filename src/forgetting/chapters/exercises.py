"""Exercises: tests for the reader's own answers, one function an exercise.

Each takes the reader's function or number and raises `AssertionError` with a hint, or returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from forgetting.models.parts import Part
from forgetting.objectives.gem import gem_multipliers
from forgetting.recipes import lamol_form
from forgetting.tasks import metrics
from forgetting.tuning import Tuning


def supervised(answer: Callable[[str, int, int], Sequence[bool]]) -> str:
    """Exercise 1 of `operation`: which tokens of a question and its answer the loss runs over."""
    for style, question, given in (("pre-train", 3, 2), ("SFT", 3, 2), ("SFT", 1, 4)):
        found = list(answer(style, question, given))
        expected = [style == "pre-train"] * question + [True] * given
        assert found == expected, (
            f"supervised({style!r}, {question}, {given}) gave {found}, expected {expected}: SFT "
            "style learns the answer alone, pre-train style all that it reads"
        )
    return "correct"


def advantages(answer: Callable[[Sequence[float]], Sequence[float]]) -> str:
    """Exercise 2 of `operation`: how much better each answer did than its siblings."""
    for rewards in ([1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0], [1, 1]):
        expected = np.array(rewards) - np.mean(rewards)
        found = np.array(answer(rewards), dtype=float)
        assert np.allclose(found, expected), (
            f"advantages({rewards}) gave {found.tolist()}, expected {expected.tolist()}: subtract "
            "the mean reward of the question's answers"
        )
    return "correct"


def json_kept(answer: Callable[[str, str], bool]) -> str:
    """Exercise 3 of `operation`: whether an answer is a JSON object that has a key."""
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
        found = answer(text, "sentiment")
        assert bool(found) is expected, (
            f"json_kept({text!r}, 'sentiment') gave {found}, expected {expected}: the whole answer "
            "must be one JSON object, and the object must have the key"
        )
    return "correct"


def repetition(answer: Callable[[Sequence[int], int], float]) -> str:
    """Exercise 1 of `freezing`: the n-gram repetition score of Li & Lee (2024)."""
    cases = [([1, 2, 3, 4], 2), ([1, 1, 1, 1], 2), ([1, 2, 1, 2, 1, 2], 2), ([1, 2], 4), ([7], 1)]
    for ids, n in cases:
        expected = metrics.repetition(ids, n)
        found = answer(ids, n)
        assert np.isclose(found, expected), (
            f"repetition({ids}, {n}) gave {found:g}, expected {expected:g}: count the n-grams of "
            "one sequence, divide the distinct ones by all, and let short sequences be 0"
        )
    return "correct"


def own_tuning(answer: Tuning) -> str:
    """Exercise 2 of `freezing`: a tuning that moves the norms alone."""
    inside = [Part(kind, 3) for kind in ("norm", "mlp", "attention")]
    for part in (*inside, Part("norm", None), Part("embedding", None)):
        moves, expected = answer.trains(part, 30), part.kind == "norm"
        assert moves is expected, f"trains({part}, 30) gave {moves}, expected {expected}"
    return "correct"


def matched_reading(answer: Callable[[Sequence[float], Sequence[float], float], float]) -> str:
    """Exercise 3 of `freezing`: what a method would have lost at another method's learning."""
    learned, lost = [0.0, 0.2, 0.4], [0.0, 0.1, 0.5]
    for where, expected in ((0.1, 0.05), (0.3, 0.3), (0.4, 0.5)):
        found = answer(learned, lost, where)
        assert np.isclose(found, expected), (
            f"at learned={where:g} your reading is {found:g}, expected {expected:g}: interpolate "
            "linearly between the two neighbouring points of the curve"
        )
    try:
        answer(learned, lost, 0.9)
    except ValueError:
        return "correct"
    raise AssertionError("at learned=0.9 the curve says nothing: raise a ValueError")


def rank_90(answer: Callable[[np.ndarray], int]) -> str:
    """Exercise 1 of `lora`: how many singular values hold 90 % of a matrix's energy."""
    drawn = np.random.default_rng(0)
    line = np.outer(drawn.normal(size=7), drawn.normal(size=5))
    cases = {
        "the identity of size 100": (np.eye(100), 90),
        "a column times a row": (line, 1),
        "diag(3, 1, 1)": (np.diag([3.0, 1.0, 1.0]), 2),
        "diag(5, 1, 1)": (np.diag([5.0, 1.0, 1.0]), 1),
    }
    for words, (matrix, expected) in cases.items():
        found = answer(matrix)
        assert found == expected, (
            f"{words} gave {found}, expected {expected}: square the singular values, add them up "
            "from the largest, and stop where nine tenths of their sum are reached"
        )
    return "correct"


def beaten_by(
    answer: Callable[[float, float, dict[str, tuple[float, float]]], list[str]],
) -> str:
    """Exercise 2 of `lora`: which runs learned at least as much and lost at most as much."""
    others = {"a": (1.0, 0.2), "b": (0.5, 0.1), "c": (0.5, 0.4), "d": (2.0, 0.9)}
    for (learned, lost), expected in (
        ((0.5, 0.4), ["a", "b"]),
        ((1.0, 0.2), []),
        ((0.9, 0.2), ["a"]),
        ((3.0, 9.0), []),
    ):
        found = sorted(answer(learned, lost, others))
        assert found == expected, (
            f"a run that learned {learned:g} and lost {lost:g} is beaten by {expected}, you say "
            f"{found}: at least as good in both, better in one"
        )
    return "correct"


def prediction(
    answer: Callable[[Sequence[float], Sequence[float], float], tuple[float, float]],
) -> str:
    """Exercise 3 of `lora`: a line's prediction for a new run, with its 95 % interval.

    The interval must hold the new run in 95 % of 400 studies of eight runs, give or take three.
    """
    drawn = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        loss = drawn.uniform(1, 3, size=9)
        forgetting = 4 - loss + 0.2 * drawn.normal(size=9)
        guess, half = answer(list(loss[:8]), list(forgetting[:8]), float(loss[8]))
        held += abs(guess - forgetting[8]) <= half
    share = held / 400
    assert 0.92 <= share <= 0.98, (
        f"your interval holds {share:.0%} of new runs, it should hold 95 %: "
        + ("add the new run's own scatter" if share < 0.92 else "it is too wide; check the spread")
    )
    return "correct"


def mask(answer: Callable[[Sequence[float], float], Sequence[bool]]) -> str:
    """Exercise 1 of `own_words`: which tokens selective masking keeps."""
    nats = [0.1, 0.9, 0.95, 7.5]
    for threshold, expected in ((2.5, [True, True, False, False]), (1e3, [True] * 3 + [False])):
        found = list(answer(nats, threshold))
        assert found == expected, (
            f"mask({nats}, {threshold:g}) gave {found}, expected {expected}: a perplexity is the "
            "exponential of nats, and a token at most that surprising stays"
        )
    assert all(answer(nats, float("inf"))), "without a threshold every token stays"
    return "correct"


def pick(answer: Callable[[Sequence[tuple[str, bool, float]]], str | None]) -> str:
    """Exercise 2 of `own_words`: the right answer that surprises least."""
    drawn = [("f(1)", False, 0.1), ("f(2)", True, 0.8), ("f( 2 )", True, 0.4)]
    for answers, expected in ((drawn, "f( 2 )"), (drawn[:1], None), (drawn[:2], "f(2)")):
        found = answer(answers)
        assert found == expected, (
            f"of {answers} you take {found!r}, expected {expected!r}: leave out the wrong ones, "
            "then take the fewest nats"
        )
    return "correct"


def weight(answer: Callable[[Sequence[float]], float]) -> str:
    """Exercise 3 of `own_words`: the weight of entropy-adaptive fine-tuning (arXiv 2601.02151)."""
    for shares, expected in (([0.25] * 4, 1.0), ([1.0, 0.0], 0.0), ([0.5, 0.25, 0.25], 0.946395)):
        found = answer(shares)
        assert np.isclose(found, expected, atol=1e-6), (
            f"weight({shares}) gave {found:g}, expected {expected:g}: the entropy in nats, divided "
            "by the logarithm of how many shares there are"
        )
    return "correct"


def labels_named(answer: Callable[[str, Sequence[str]], set[str]]) -> str:
    """Exercise 1 of `own_answers`: the labels that an answer in any words names."""
    labels = ["negative", "positive"]
    for text, expected in (
        ("The review is Positive.", {"positive"}),
        ("not negative but positive", {"negative", "positive"}),
        ("**NEGATIVE**", {"negative"}),
        ("It speaks negatively of the plot.", set()),
        ("", set()),
    ):
        found = set(answer(text, labels))
        assert found == expected, (
            f"named({text!r}, {labels}) gave {found}, expected {expected}: whole words, in any case"
        )
    return "correct"


def rows_of_length(answer: Callable[[Sequence[int], int], int]) -> str:
    """Exercise 2 of `own_answers`: how many short answers hold as many tokens as the long ones."""
    for lengths, wanted, expected in (
        ([2, 2], 9, 4),  # one token is missing: to add an answer of two would be no nearer
        ([2, 2], 10, 5),
        ([3, 5], 8, 2),
        ([3, 5], 1, 1),  # never none at all
        ([4, 1], 20, 8),
    ):
        found = answer(lengths, wanted)
        assert found == expected, (
            f"rows({lengths}, {wanted}) gave {found}, expected {expected}: go round the answers "
            "while more than half of the next one's tokens is missing, and take one at least"
        )
    return "correct"


def change_shared(
    answer: Callable[[Sequence[float], Sequence[float], Sequence[float]], float],
) -> str:
    """Exercise 3 of `own_answers`: how much of an effect a control explains."""
    for plain, control, other, expected in (
        ([4.0, 6.0], [3.0, 5.0], [1.0, 3.0], 1 / 3),
        ([2.0, 2.0], [2.0, 2.0], [1.0, 1.0], 0.0),
        ([2.0, 4.0], [1.0, 1.0], [1.0, 1.0], 1.0),
    ):
        found = answer(plain, control, other)
        assert np.isclose(found, expected), (
            f"share({plain}, {control}, {other}) gave {found:g}, expected {expected:g}: of the "
            "difference between the first and the last, the part that the control has too"
        )
    return "correct"


def dreams_kept(
    answer: Callable[[Sequence[int], int], tuple[Sequence[int], Sequence[int]] | None],
) -> str:
    """Exercise 1 of `lamol`: question and answer of a dream, or None where it is refused."""
    mark = 9
    for dream in ([1, 2, 9, 3], [1, 2], [9, 1, 9], [9, 4], [1, 9], [9], []):
        expected = lamol_form.split(list(dream), mark)
        found = answer(dream, mark)
        asked = None if found is None else tuple(map(list, found))
        assert asked == (None if expected is None else tuple(expected)), (
            f"{dream} with answer token {mark} gave {found}, expected {expected}: exactly one "
            "answer token splits a dream, and its parts may be empty"
        )
    return "correct"


def projected(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Exercise 2 of `lamol`: GEM's gradient with one old task and no margin."""
    drawn = np.random.default_rng(0)
    cases = [(np.array([1.0, 0.0]), np.array([-1.0, 1.0])), (np.ones(3), np.ones(3))]
    cases += [(drawn.normal(size=5), drawn.normal(size=5)) for _ in range(20)]
    for new, old in cases:
        products, hurt = np.array([[old @ old]]), np.array([new @ old])
        expected = new + gem_multipliers(products, hurt, 0.0)[0] * old
        found = np.asarray(answer(new, old))
        assert np.allclose(found, expected, atol=1e-6), (
            f"g={np.round(new, 2)}, g_old={np.round(old, 2)} gave {np.round(found, 2)}, expected "
            f"{np.round(expected, 2)}: where they disagree take away the part along g_old, and "
            "leave g alone where they agree"
        )
    return "correct"


def label_entropy(answer: Callable[[Sequence[str]], float]) -> str:
    """Exercise 3 of `lamol`: the entropy of dreamt answers, in bits."""
    for answers, expected in (
        (["positive", "negative"] * 4, 1.0),
        (["positive"] * 8, 0.0),
        (["a", "b", "c", "d"], 2.0),
        (["a", "a", "a", "b"], 0.8112781),
    ):
        found = answer(answers)
        assert np.isclose(found, expected), (
            f"{answers} gave {found:g} bits, expected {expected:g}: add up -p·log2(p) over the "
            "different answers, p being how often each stands there"
        )
    return "correct"
