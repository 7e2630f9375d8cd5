"""Intervals: effects as means over paired items and seeds, with their 95 % intervals.

The one place where an interval is made. Items are a sample of a task, seeds a sample of runs; both
are allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from forgetting.evidence import laws, records
from forgetting.evidence.records import Run


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


def paired_effect(
    left: Sequence[Run],
    right: Sequence[Run],
    measures: Sequence[str],
    *,
    same: bool = False,
) -> Effect:
    """left - right over the runs that both have; the model that arms start from pairs with every run.

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
        or _lone_start(a)
        or _lone_start(b)
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
    side = 1 if _lone_start(a) else 0
    seeds = {pair[side].seed for pair in pairs}
    return found.model_copy(update={"seeds": len(seeds), "orders": len(rows)})


def lone_effect(found: Sequence[Run], measures: Sequence[str]) -> Effect:
    """The mean itself, over items and seeds."""
    values = [item_values(record, measures) for record in sorted(found, key=lambda r: r.seed)]
    return interval(np.array([row for row, _ in values]), values[0][1])


def line_effect(found: Sequence[Run], x: str, y: str) -> Effect:
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
    left: Sequence[Run], curve: Sequence[Run], measures: Sequence[str], matched_on: str
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


def item_values(record: Run, measures: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Per-item values of "role.metric" measures, one after the other, and their weights."""
    values: list[float] = []
    weights: list[float] = []
    for measure in measures:
        role, _, metric = measure.rpartition(".")
        of_role, weight = record.scores_of(role).values(metric)
        values += of_role
        weights += weight
    return np.array(values), np.array(weights)


def _by_run(found: Sequence[Run]) -> dict[tuple[int, str], Run]:
    return {(record.seed, record.labels.get("order", "")): record for record in found}


def _lone_start(found: dict[tuple[int, str], Run]) -> bool:
    return len(found) == 1 and next(iter(found.values())).start


def _curve(
    found: Sequence[Run], measures: Sequence[str], matched_on: str
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
