"""Tests of the chapter's exercises: each raises `AssertionError` with a hint, or returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from forgetting.chapters.marking import mark
from forgetting.models.parts import Part
from forgetting.tasks import metrics
from forgetting.tuning import Tuning


def repetition(answer: Callable[[Sequence[int], int], float]) -> str:
    """Exercise 1: the n-gram repetition score of Li & Lee (2024)."""
    texts = [([1, 2, 3, 4], 2), ([1, 1, 1, 1], 2), ([1, 2, 1, 2, 1, 2], 2), ([1, 2], 4), ([7], 1)]
    cases = [(ids, n, metrics.repetition(ids, n)) for ids, n in texts]
    hint = (
        "count the n-grams of one sequence, divide the distinct ones by all, and let short "
        "sequences be 0"
    )
    return mark("repetition", answer, cases, hint, np.isclose)


def own_tuning(answer: Tuning) -> str:
    """Exercise 2: a tuning that moves the norms alone."""
    parts = [Part(kind, 3) for kind in ("norm", "mlp", "attention")]
    parts += [Part("norm", None), Part("embedding", None)]
    cases = [(part, 30, part.kind == "norm") for part in parts]
    return mark("trains", answer.trains, cases, "the norms move, and nothing else")


def own_curve() -> list[tuple[float, float]]:
    """(Chinese learned, chat answers lost) of training everything, rate by rate, from the records.

    With the start; that alone where nothing is stored.
    """
    from forgetting.chapters import published
    from forgetting.evidence import records

    stored = published.runs("freezing")
    full = records.select(stored, method="full", seed=0)
    start = [run for run in stored if run.start]
    changes = (
        [run.mean(m) - start[0].mean(m) for m in ("chinese.nats", "chat.nats")] for run in full
    )
    return [(0.0, 0.0), *((-chinese, chat) for chinese, chat in changes)]


def matched_reading(answer: Callable[[Sequence[float], Sequence[float], float], float]) -> str:
    """Exercise 3: what a method would have lost at another method's learning."""
    learned, lost = [0.0, 0.2, 0.4], [0.0, 0.1, 0.5]
    cases = [(learned, lost, where, loss) for where, loss in ((0.1, 0.05), (0.3, 0.3), (0.4, 0.5))]
    cases.append(([0.4, 0.0, 0.2], [0.5, 0.0, 0.1], 0.1, 0.05))  # rates need not come in order
    points = sorted(own_curve())
    xs, ys = [x for x, _ in points[::-1]], [y for _, y in points[::-1]]
    for (x0, y0), (x1, y1) in pairwise(points):
        cases.append((xs, ys, (x0 + x1) / 2, (y0 + y1) / 2))
    hint = "interpolate linearly between the two points of the curve that learned next to as much"
    mark("read", answer, cases, hint, np.isclose)
    try:
        answer(learned, lost, 0.9)
    except ValueError:
        return "correct"
    raise AssertionError("at learned=0.9 the curve says nothing: raise a ValueError")
