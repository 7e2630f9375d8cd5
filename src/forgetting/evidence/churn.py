"""Churn: which answers changed between two models, beside how many are right.

Accuracy stays where it was when as many items are gained as are lost. Two records of the same task
hold the same items in the same order, so they can be compared item by item.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict
from scipy import stats
from statsmodels.stats import contingency_tables

from forgetting.evidence.records import Run
from forgetting.probes.scores import Scores


class NotPaired(ValueError):
    """Two scores that are not of the same items."""


class Churn(BaseModel):
    """What changed between two models on `n` paired items.

    `both`, `lost`, `gained` and `neither` count the items that are right in both, in the first
    alone, in the second alone, in neither. `difference` is the second accuracy minus the first,
    with its 95 % interval; `p_value` is McNemar's. `agreement` is the share of items with the same
    answer. `agreement_on` says what was compared: for `acc` the option of the highest likelihood,
    the generated text, or, where neither was kept (`acc_norm`'s option is not), the 0/1 score
    alone, which cannot tell two wrong answers apart.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    metric: str
    n: int
    both: int
    lost: int
    gained: int
    neither: int
    difference: float
    low: float
    high: float
    p_value: float
    agreement: float
    agreement_on: Literal["choice", "answers", "score"]

    @property
    def flips(self) -> float:
        """(gained + lost) / n: wrong became right or right wrong (Dutta et al. 2024)."""
        return (self.gained + self.lost) / self.n

    @property
    def churn(self) -> float:
        """1 - agreement: share of items answered otherwise (Milani Fard et al. 2016)."""
        return 1 - self.agreement


def churn(
    before: Scores,
    after: Scores,
    metric: str = "acc",
    answers: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Churn:
    """Item-by-item comparison of two scores of one task, by a 0/1 `metric`.

    `answers` are the generated texts, before and after, in the items' order; they count as the same
    when they are equal character by character. Raises `NotPaired` where task, version, templates or
    number of items differ, `ValueError` for a metric that is not 0 or 1.
    """
    _check_paired(before, after)
    old, new = _binary(before, metric), _binary(after, metric)
    pairs = list(zip(old, new, strict=True))
    both, lost = pairs.count((True, True)), pairs.count((True, False))
    gained, neither = pairs.count((False, True)), pairs.count((False, False))
    low, high = paired_interval(gained, lost, before.n)
    what: Literal["choice", "answers", "score"]
    if metric == "acc" and "choice" in before.items and "choice" in after.items:
        what, same = "choice", agreement(before.items["choice"], after.items["choice"])
    elif answers is not None:
        if {len(side) for side in answers} != {before.n}:
            raise NotPaired(
                f"answers: {len(answers[0])} and {len(answers[1])} texts for {before.n} items of "
                f"{before.task}; give every item's answer, or none"
            )
        what, same = "answers", agreement(*answers)
    else:
        what, same = "score", agreement(old, new)
    return Churn(
        task=before.task,
        metric=metric,
        n=before.n,
        both=both,
        lost=lost,
        gained=gained,
        neither=neither,
        difference=(gained - lost) / before.n,
        low=low,
        high=high,
        p_value=mcnemar(gained, lost),
        agreement=same,
        agreement_on=what,
    )


def between(before: Run, after: Run, role: str, metric: str = "acc") -> Churn:
    """`churn` between two runs in a role, with the answers that they keep.

    Raises `NotPaired` where one of them was not asked it, or had other prompts.
    """
    for side, run in (("before", before), ("after", after)):
        if role not in run.scores:
            raise NotPaired(
                f"role={role!r}: {side} ({run.key}) was asked {', '.join(run.scores)}; ask both"
            )
    kept = [[s for s in run.samples if s.task == role] for run in (before, after)]
    if not all(kept):
        return churn(before.scores[role], after.scores[role], metric)
    if [s.prompt for s in kept[0]] != [s.prompt for s in kept[1]]:
        raise NotPaired(f"role={role!r}: the two runs had other prompts; measure both again")
    answers = [s.answer for s in kept[0]], [s.answer for s in kept[1]]
    return churn(before.scores[role], after.scores[role], metric, answers)


def agreement(before: Sequence[object], after: Sequence[object]) -> float:
    """Share of items with the same answer, between 0 and 1."""
    if len(before) != len(after) or not before:
        raise NotPaired(f"{len(before)} and {len(after)} answers: must be as many, at least one")
    return sum(a == b for a, b in zip(before, after, strict=True)) / len(before)


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of McNemar's exact test: could a fair coin have split gained and lost so?

    McNemar 1947: if the models were equally good, an item that changed was as likely gained as
    lost. Items that did not change say nothing; without any that changed, p is 1.
    """
    return float(contingency_tables.mcnemar([[0, lost], [gained, 0]], exact=True).pvalue)


def paired_interval(gained: int, lost: int, n: int) -> tuple[float, float]:
    """95 % interval of the second accuracy minus the first, on n paired items.

    Agresti & Min 2005's Wald+2: half an item is added to each of the four cells, so with m = n + 2
    it is (gained - lost)/m ± z·√(gained + lost + 1 - (gained - lost)²/m)/m, cut at ±1. Unlike the
    plain paired interval it has a width where nothing changed: few items prove little.
    """
    if n < 1 or min(gained, lost) < 0 or gained + lost > n:
        raise ValueError(f"gained={gained}, lost={lost}: must be counts among n={n} items")
    m, moved = n + 2, gained - lost
    half = float(stats.norm.ppf(0.975)) * math.sqrt(gained + lost + 1 - moved**2 / m) / m
    return max(-1.0, moved / m - half), min(1.0, moved / m + half)


def _check_paired(before: Scores, after: Scores) -> None:
    for field in ("task", "version", "templates", "n"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            raise NotPaired(
                f"{field}: {old!r} before, {new!r} after; churn compares the same items, so "
                f"measure both on one version of {before.task}"
            )


def _binary(scores: Scores, metric: str) -> list[bool]:
    if metric not in scores.items:
        known = ", ".join(scores.items)
        raise ValueError(f"metric={metric!r}: {scores.task} has {known}; name one of them")
    values = scores.items[metric]
    for number, value in enumerate(values):
        if value not in (0.0, 1.0):
            raise ValueError(
                f"metric={metric!r}: item {number} scores {value:g}; gained and lost need 0 or 1, "
                "so name a metric like acc"
            )
    return [value == 1.0 for value in values]
