"""Verdicts: claims judged against records, by pure functions.

An effect is a mean over paired items and seeds. Its 95 % interval allows for both: items are a
sample of a task, seeds a sample of runs. A verdict compares the interval with the tolerance that
was written down beforehand; an interval that does not settle it leaves the claim undecided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from forgetting.evidence import laws, records
from forgetting.evidence.papers import Claim, Paper, papers
from forgetting.evidence.records import Record, Tier
from forgetting.experiments import budgets, panels
from forgetting.wording import count

FEWEST_SEEDS = 3
PUBLISHED: tuple[Tier, ...] = ("full", "laptop")


class Effect(BaseModel):
    """left - right with its 95 % interval, over `items` paired items and `seeds` paired seeds.

    `orders`: of tasks learned one after the other, where the mean is over several of them.
    """

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float
    items: int
    seeds: int
    orders: int = 1

    def beyond(self, value: float) -> Effect:
        """The effect minus `value`."""
        moved = {end: getattr(self, end) - value for end in ("mean", "low", "high")}
        return self.model_copy(update=moved)


class Verdict(BaseModel):
    """What the records say of one claim."""

    model_config = ConfigDict(frozen=True)

    id: str
    statement: str
    paper: str
    citation: str
    source: str
    chapter: str
    verdict: Literal["holds", "contradicted", "undecided", "not run"]
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    direction: str = ""
    tolerance: float = 0.0
    unit: str = ""
    tier: str | None = None
    seeds: int = 0
    orders: int = 1
    date: str | None = None
    reason: str = ""
    why: str = ""

    @property
    def runs(self) -> str:
        """What the effect is a mean over: "3 seeds", or "3 seeds, 6 orders"; "" if not run."""
        told = [count(self.seeds, "seed")] if self.seeds else []
        return ", ".join(told + [f"{self.orders} orders"] * (self.orders > 1))


def verdicts(chapter: str | None = None, tier: Tier | None = None) -> list[Verdict]:
    """The verdict of every claim (of `chapter`), from the best published tier or from `tier`."""
    asked = [(c, paper) for paper in papers() for c in paper.claims if chapter in (None, c.chapter)]
    tiers = (tier,) if tier else PUBLISHED
    found = {name: best_stored(name, tiers) for name in {claim.chapter for claim, _ in asked}}
    return [judge(claim, paper, found[claim.chapter]) for claim, paper in asked]


def best_stored(chapter: str, tiers: Sequence[Tier] = PUBLISHED) -> list[Record]:
    """A chapter's comparable records of the first tier that has any."""
    found = (records.comparable(records.stored(chapter, tier)) for tier in tiers)
    return next((stored for stored in found if stored), [])


def judge(claim: Claim, paper: Paper, stored: Sequence[Record]) -> Verdict:
    """One claim against a chapter's records of one tier."""
    about: dict[str, Any] = {
        "id": claim.id,
        "statement": claim.statement,
        "paper": paper.short,
        "citation": paper.citation,
        "source": claim.source,
        "chapter": claim.chapter,
        "direction": claim.direction,
        "tolerance": claim.tolerance,
        "unit": claim.unit,
        "why": claim.why,
    }
    left = _meant(claim, claim.left, stored)
    right = _meant(claim, claim.right, stored) if claim.right is not None else []
    if not left or (claim.right is not None and not right):
        return Verdict(**about, verdict="not run", reason="no records of both sides")
    try:
        both = set.intersection(*(set(record.scores) for record in [left[0], *right[:1]]))
        measures = [panels.measure_name(claim.chapter, m, both) for m in claim.measures]
        if claim.line_on:
            trained = [record for record in left if record.training]
            x = panels.measure_name(claim.chapter, claim.line_on, both)
            found = line_effect(trained, x, measures[0])
        elif claim.matched_on:
            untouched = records.select(stored, method="untouched")
            matched_on = panels.measure_name(claim.chapter, claim.matched_on, both)
            found = matched_effect(left, [*untouched, *right], measures, matched_on)
        elif claim.right is None:
            found = lone_effect(left, measures)
        else:
            found = paired_effect(left, right, measures, same=claim.same)
        found = found.beyond(claim.than)
    except KeyError as error:
        return Verdict(**about, verdict="not run", reason=str(error.args[0]))
    except OutOfRange as error:
        return Verdict(**about, verdict="undecided", reason=str(error))
    verdict, reason = decide(found, claim.direction, claim.tolerance)
    return Verdict(
        **about,
        verdict=verdict,
        reason=reason,
        effect=found.mean,
        low=found.low,
        high=found.high,
        tier=left[0].tier,
        seeds=found.seeds,
        orders=found.orders,
        date=max(r.timing["date"] for r in [*left, *right])[:10],
    )


def decide(
    effect: Effect, direction: str, tolerance: float
) -> tuple[Literal["holds", "contradicted", "undecided"], str]:
    """The verdict and its reason. Fewer than three seeds decide nothing."""
    if effect.seeds < FEWEST_SEEDS:
        return "undecided", f"{count(effect.seeds, 'seed')}, {FEWEST_SEEDS} are asked for"
    low, high = (-effect.high, -effect.low) if direction == "less" else (effect.low, effect.high)
    if direction == "equal":
        if -tolerance < low and high < tolerance:
            return "holds", "the interval lies within the tolerance"
        if low > tolerance or high < -tolerance:
            return "contradicted", "the interval lies outside the tolerance"
    elif low > tolerance:
        return "holds", "the whole interval lies beyond the tolerance"
    elif high < tolerance:
        return "contradicted", "the whole interval lies short of the tolerance"
    return "undecided", "the interval contains the tolerance"


def paired_effect(
    left: Sequence[Record],
    right: Sequence[Record],
    measures: Sequence[str],
    *,
    same: bool = False,
) -> Effect:
    """left - right over the runs that both have; an untouched model pairs with every run.

    A run is a seed or, where tasks are learned in several orders, an order and a seed; what has no
    order (multitask) pairs with every order of its seed. Over several orders the effect is a mean
    of orders that count alike, each the mean of its seeds, and the interval is one over orders.
    `same`: the share of items whose value is the same on both sides, instead of the difference.
    """
    a, b = _by_run(left), _by_run(right)
    pairs = [
        (of_left, of_right)
        for (seed, order), of_left in sorted(a.items())
        for (other_seed, other_order), of_right in sorted(b.items())
        if (seed == other_seed and (order == other_order or not order or not other_order))
        or _lone_untouched(a)
        or _lone_untouched(b)
    ]
    if not pairs:
        raise OutOfRange("no seed was run on both sides")
    rows: dict[str, list[np.ndarray]] = {}
    for of_left, of_right in pairs:
        x, weights = item_values(of_left, measures)
        y, _ = item_values(of_right, measures)
        order = of_left.labels.get("order") or of_right.labels.get("order", "")
        rows.setdefault(order, []).append((x == y).astype(float) if same else x - y)
    means = [np.mean(of_order, axis=0) for of_order in rows.values()]
    found = interval(np.array(means if len(means) > 1 else next(iter(rows.values()))), weights)
    side = 1 if _lone_untouched(a) else 0
    seeds = {pair[side].seed for pair in pairs}
    return found.model_copy(update={"seeds": len(seeds), "orders": len(rows)})


def lone_effect(found: Sequence[Record], measures: Sequence[str]) -> Effect:
    """The mean itself, over items and seeds."""
    values = [item_values(record, measures) for record in sorted(found, key=lambda r: r.seed)]
    return interval(np.array([row for row, _ in values]), values[0][1])


def line_effect(found: Sequence[Record], x: str, y: str) -> Effect:
    """R² of the line of `y` on `x` over runs, with its bootstrap interval.

    Raises `OutOfRange` where fewer than three different runs measured both.
    """
    measured = [r for r in found if {x.rpartition(".")[0], y.rpartition(".")[0]} <= r.scores.keys()]
    xs, ys = ([record.mean(measure) for record in measured] for measure in (x, y))
    try:
        r2, (low, high) = laws.line(xs, ys).r2, laws.r2_interval(xs, ys)
    except ValueError as error:
        raise OutOfRange(str(error)) from error
    seeds = len({record.seed for record in measured})
    return Effect(mean=r2, low=low, high=high, items=len(measured), seeds=seeds)


def matched_effect(
    left: Sequence[Record], curve: Sequence[Record], measures: Sequence[str], matched_on: str
) -> Effect:
    """left - curve, the curve read where its `matched_on` equals each left record's.

    The curve's points are its rates, seeds averaged; between two of them every item's value is
    interpolated linearly. Raises `OutOfRange` where a left record lies outside the curve.
    """
    points = _curve(curve, measures, matched_on)
    rows, weights = [], np.ones(0)
    for record in sorted(left, key=lambda r: r.seed):
        values, weights = item_values(record, measures)
        rows.append(values - _read_curve(points, record.mean(matched_on)))
    return interval(np.array(rows), weights)


def of_the_book(x: str, y: str, tier: Tier) -> dict[str, list[tuple[float, float]]]:
    """By chapter, (x, y) of every trained run that measured both "role.metric"s."""
    found: dict[str, list[tuple[float, float]]] = {}
    for chapter in panels.PANELS:
        for record in records.comparable(records.stored(chapter, tier)):
            try:
                names = [panels.measure_name(chapter, m, record.scores) for m in (x, y)]
            except KeyError:
                continue
            if record.training:
                found.setdefault(chapter, []).append((record.mean(names[0]), record.mean(names[1])))
    return found


class OutOfRange(ValueError):
    """Two methods learned amounts between which nothing was measured."""


def interval(differences: np.ndarray, weights: np.ndarray | None = None) -> Effect:
    """Mean of a (seeds, items) matrix of differences with its 95 % interval.

    Seeds and items are crossed random effects: the variance of the mean is taken as that of the
    seeds' means over S plus that of the items' means over n, which errs on the wide side. Degrees
    of freedom after Satterthwaite (1946). `weights` (items,) are tokens where items differ in
    length. One seed gives the items' part alone.
    """
    count_seeds, count_items = differences.shape
    weights = np.ones(count_items) if weights is None else weights
    share = weights / weights.mean()
    by_seed = (differences * share).mean(axis=1)
    mean = float(by_seed.mean())
    by_item = (differences.mean(axis=0) - mean) * share
    parts = [(by_item.var(ddof=1) / count_items, count_items - 1)] if count_items > 1 else []
    if count_seeds > 1:
        parts.append((by_seed.var(ddof=1) / count_seeds, count_seeds - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        half = 0.0 if parts else math.inf
    else:
        freedom = variance**2 / sum(part**2 / df for part, df in parts)
        half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(variance)
    return Effect(
        mean=mean, low=mean - half, high=mean + half, items=count_items, seeds=count_seeds
    )


def item_values(record: Record, measures: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Per-item values of "task.metric" measures, one after the other, and their weights."""
    values: list[float] = []
    weights: list[float] = []
    for measure in measures:
        task, _, metric = measure.rpartition(".")
        of_task, weight = record.scores[task].values(metric)
        values += of_task
        weights += weight
    return np.array(values), np.array(weights)


def scoreboard() -> list[Verdict]:
    """Every claim with its verdict, then what papers state and no claim judges: all "not run"."""
    return verdicts() + unjudged()


def unjudged() -> list[Verdict]:
    """The papers' statements that no claim of this book judges yet."""
    return [
        Verdict(
            id=stated.id,
            statement=stated.statement,
            paper=paper.short,
            citation=paper.citation,
            source=stated.source,
            chapter=stated.chapter,
            verdict="not run",
            reason="no experiment of this book decides it yet",
        )
        for paper in papers()
        for stated in paper.stated
        if not stated.judged_by
    ]


def book_values() -> dict[str, Any]:
    """What prose may quote: `r.<chapter>.runs`, `.seeds`, … and `r.claims["id"].effect`, …"""
    values: dict[str, Any] = {"claims": {v.id: v.model_dump() for v in verdicts()}}
    for chapter in records.chapters():
        if stored := best_stored(chapter):
            values[chapter] = summary(stored)
    return values


def summary(stored: Sequence[Record]) -> dict[str, Any]:
    """A chapter's records in a few plain values."""
    seconds = [r.timing["seconds"] for r in stored]
    return {
        "runs": len(stored),
        "seeds": len({r.seed for r in stored}),
        "tier": stored[0].tier,
        "model": stored[0].model["name"],
        "device": stored[0].environment["device"],
        "minutes": sum(seconds) / 60,
        "seconds_a_run": sum(seconds) / len(seconds),
        "peak_memory_gib": max(r.timing["peak_memory_mib"] for r in stored) / 1024,
        "first": min(r.timing["date"] for r in stored)[:10],
        "last": max(r.timing["date"] for r in stored)[:10],
    }


def _meant(claim: Claim, labels: dict[str, Any], stored: Sequence[Record]) -> list[Record]:
    """The records of one side.

    A side that names no learning rate and is not read along its rates means the tier's central one.
    """
    found = records.select(stored, **labels)
    if claim.line_on or claim.matched_on or not found:
        return found
    budget = budgets.BUDGETS.get(claim.chapter, {}).get(found[0].tier)
    if "learning_rate" in labels or not budget or not budget.learning_rates:
        return found
    central = budget.learning_rates[0]
    return [r for r in found if _untouched(r) or r.labels["learning_rate"] == central]


def _by_run(found: Sequence[Record]) -> dict[tuple[int, str], Record]:
    return {(record.seed, record.labels.get("order", "")): record for record in found}


def _lone_untouched(found: dict[tuple[int, str], Record]) -> bool:
    return len(found) == 1 and _untouched(next(iter(found.values())))


def _untouched(record: Record) -> bool:
    return record.labels.get("method") == "untouched"


def _curve(
    found: Sequence[Record], measures: Sequence[str], matched_on: str
) -> list[tuple[float, np.ndarray]]:
    """(value of `matched_on`, per-item values) at each rate, in order of the former.

    `matched_on` falls as a model learns. Rates above the one that learned most are left out: they
    learn less and lose more, so nobody would choose them.
    """
    points = []
    for rate in sorted({r.labels["learning_rate"] for r in found}):
        at_rate = records.select(found, learning_rate=rate)
        where = float(np.mean([r.mean(matched_on) for r in at_rate]))
        points.append((where, np.mean([item_values(r, measures)[0] for r in at_rate], axis=0)))
    best = min(range(len(points)), key=lambda i: points[i][0])
    return sorted(points[: best + 1], key=lambda point: point[0])


def _read_curve(points: list[tuple[float, np.ndarray]], where: float) -> np.ndarray:
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= where <= x1 and x1 > x0:
            share = (where - x0) / (x1 - x0)
            return (1 - share) * y0 + share * y1
    ends = f"{points[0][0]:.2f} to {points[-1][0]:.2f}"
    raise OutOfRange(f"learned {where:.2f}, the other method's rates span {ends}")
