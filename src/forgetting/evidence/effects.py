"""Effects: what runs differ in, as means over paired items and seeds with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from forgetting.evidence import laws
from forgetting.evidence.intervals import Binary, Effect, interval
from forgetting.evidence.records import Run

FEWEST_RATES = 2  # that make a curve, for each seed
# What one training has in common, however often it is read.
TRAINING = ("method", "learning_rate", "seed", "order")


class OutOfRange(ValueError):
    """Two methods learned amounts between which nothing was measured, or nothing pairs."""


def paired_effect(
    left: Sequence[Run], right: Sequence[Run], measures: Sequence[str], *, same: bool = False
) -> Effect:
    """left - right over the runs that both have; the start pairs with every run.

    A run is a seed or, where tasks are learned in several orders, an order and a seed; what has no
    order (multitask) pairs with every order of its seed. All orders of some tasks are a population:
    the effect is their mean, seed by seed, over the seeds that every order has.
    `same`: the share of items whose value is the same on both sides, instead of the difference.
    Raises `OutOfRange` where no seed was run on both sides.
    """
    rows: dict[str, dict[int, np.ndarray]] = {}
    binary = True
    for of_left, of_right in _pairs(left, right):
        x, y = (item_values(run, measures) for run in (of_left, of_right))
        binary &= x.binary and y.binary
        order = of_left.labels.get("order") or of_right.labels.get("order", "")
        seed = of_right.seed if of_left.start else of_left.seed
        row = (x.values == y.values).astype(float) if same else x.values - y.values
        rows.setdefault(order, {})[seed] = row
    if not rows:
        raise OutOfRange("no seed was run on both sides")
    seeds = sorted(set.intersection(*(set(of_order) for of_order in rows.values())))
    if seeds:
        matrix = np.array([np.mean([row[seed] for row in rows.values()], axis=0) for seed in seeds])
    else:  # no seed in every order: the items' part alone
        means = [np.mean(list(of_order.values()), axis=0) for of_order in rows.values()]
        matrix = np.mean(means, axis=0, keepdims=True)
    kind: Binary | None = "share" if same else "difference" if binary else None
    effect = interval(matrix, x.weights, x.blocks, kind)
    fewest = min(len(of_order) for of_order in rows.values())
    return effect.model_copy(update={"seeds": len(seeds) or fewest, "orders": len(rows)})


def lone_effect(runs: Sequence[Run], measures: Sequence[str]) -> Effect:
    """The mean itself, over items and seeds."""
    items = [item_values(run, measures) for run in sorted(runs, key=lambda run: run.seed)]
    matrix = np.array([of_run.values for of_run in items])
    binary = all(of_run.binary for of_run in items)
    return interval(matrix, items[0].weights, items[0].blocks, "share" if binary else None)


def line_effect(runs: Sequence[Run], x: str, y: str) -> Effect:
    """R² of the line of `y` on `x` over runs, with its bootstrap interval over trainings.

    Raises what `correlation_effect` raises.
    """
    r = correlation_effect(runs, x, y)
    return _from_draws(r, r.mean**2, tuple(draw**2 for draw in r.draws))


def correlation_effect(runs: Sequence[Run], x: str, y: str) -> Effect:
    """Pearson's r of two measures over runs, with its bootstrap interval over trainings.

    What was read from one training, after several epochs, is drawn together; a System that stands
    in two arms counts once. Raises `OutOfRange` where fewer than three different trainings measured
    both.
    """
    roles = {x.rpartition(".")[0], y.rpartition(".")[0]}
    measured = list({run.key: run for run in runs if roles <= run.scores.keys()}.values())
    xs, ys = (np.array([run.mean(measure) for run in measured]) for measure in (x, y))
    trainings = [tuple(run.labels.get(label) for label in TRAINING) for run in measured]
    try:
        draws = laws.correlations(xs, ys, trainings)
    except ValueError as error:
        raise OutOfRange(str(error)) from error
    seeds = len({run.seed for run in measured})
    effect = Effect(mean=0.0, items=len(measured), seeds=seeds)
    return _from_draws(effect, laws.correlation(xs, ys), tuple(draws))


def _from_draws(effect: Effect, mean: float, draws: tuple[float, ...]) -> Effect:
    effect = effect.model_copy(update={"mean": mean, "centre": mean, "draws": draws})
    low, high = effect.bounds()
    return effect.model_copy(update={"low": low, "high": high})


def matched_effect(
    left: Sequence[Run],
    right: Sequence[Run],
    measures: Sequence[str],
    matched_on: str,
    worse: int = 1,
) -> Effect:
    """left - right where both have the same `matched_on`, seed with seed.

    The right side is a method's curve through the plane of learning (`matched_on`, which falls) and
    loss (`measures`; `worse` is the sign in which they get worse): its settings of rate and epochs
    at which it learns most for what it loses, chosen on the means over seeds, with the start among
    `right` as one end. Each left run is compared with the curve of its own seed, read between its
    two nearest points; a divergence grows with the square of a distance, so its root is read. What
    the items leave open of *where* to read it is a part of the interval.

    Raises `OutOfRange` where a left run lies outside the curve, or a curve has one run alone.
    """
    settings = _frontier(right, measures, matched_on, worse)
    root = all(measure.endswith("_kl") for measure in measures)
    rows, readings, seeds, binary = [], [], set[int](), True
    paired = [run for run in left if _rates(right, run.seed) >= FEWEST_RATES]
    if not paired:
        raise OutOfRange("the other method's curve has one run a seed; a curve needs two rates")
    for run in sorted(paired, key=lambda run: run.seed):
        curve = [p for p in right if p.start or (p.seed == run.seed and _setting(p) in settings)]
        near = _nearest(curve, run.mean(matched_on), matched_on)
        sides = [item_values(point, measures) for point in near]
        items = item_values(run, measures)
        binary &= items.binary and all(side.binary for side in sides)
        x0, x1 = (point.mean(matched_on) for point in near)
        share = (run.mean(matched_on) - x0) / (x1 - x0)
        y0, y1 = (side.values for side in sides)
        if root:
            between = ((1 - share) * np.sqrt(y0.clip(0)) + share * np.sqrt(y1.clip(0))) ** 2
        else:
            between = (1 - share) * y0 + share * y1
        slope = float((y1 - y0).mean()) / (x1 - x0)
        where = [item_values(point, [matched_on]) for point in (run, *near)]
        apart = where[0].values - (1 - share) * where[1].values - share * where[2].values
        rows.append(items.values - between)
        readings.append(slope * apart)
        seeds.add(run.seed)
    reading = interval(np.mean(readings, axis=0, keepdims=True), where[0].weights, where[0].blocks)
    effect = interval(
        np.array(rows),
        items.weights,
        items.blocks,
        "difference" if binary else None,
        more=[part._replace(of="reading") for part in reading.parts],
    )
    return effect.model_copy(update={"seeds": len(seeds)})


class Items(NamedTuple):
    """Values of "role.metric" measures item by item, one measure after the other.

    `weights` are tokens where items differ in length, `blocks` the group of each item (None where
    every item stands for itself); `binary` says that every value is 0 or 1.
    """

    values: np.ndarray
    weights: np.ndarray
    blocks: np.ndarray | None
    binary: bool


def item_values(run: Run, measures: Sequence[str]) -> Items:
    """A run's items. Raises `KeyError` for a role or a metric that it does not have."""
    values: list[float] = []
    weights: list[float] = []
    groups: list[int] = []
    grouped = False
    for measure in measures:
        role, _, metric = measure.rpartition(".")
        scores = run.scores_of(role)
        of_role, weight = scores.values(metric)
        start = max(groups, default=-1) + 1
        grouped |= scores.blocks is not None
        groups += [start + block for block in scores.blocks or range(len(of_role))]
        values += of_role
        weights += weight
    array = np.array(values)
    binary = bool(np.isin(array, (0.0, 1.0)).all())
    return Items(array, np.array(weights), np.array(groups) if grouped else None, binary)


def _pairs(left: Sequence[Run], right: Sequence[Run]) -> list[tuple[Run, Run]]:
    def lone_start(runs: Sequence[Run]) -> bool:
        return len(runs) == 1 and runs[0].start

    def belong(a: Run, b: Run) -> bool:
        orders = a.labels.get("order", ""), b.labels.get("order", "")
        return a.seed == b.seed and (orders[0] == orders[1] or not all(orders))

    every = lone_start(left) or lone_start(right)
    return [(a, b) for a in left for b in right if every or belong(a, b)]


def _setting(run: Run) -> tuple[Any, Any]:
    return run.labels.get("learning_rate"), run.labels.get("epochs")


def _frontier(
    runs: Sequence[Run], measures: Sequence[str], matched_on: str, worse: int
) -> set[tuple[Any, Any]]:
    """The settings that no other one beats in both learning and loss, on the means over seeds."""
    points = {}
    for setting in {_setting(run) for run in runs if not run.start}:
        group = [run for run in runs if _setting(run) == setting]
        lost = [worse * item_values(run, measures).values.mean() for run in group]
        learned = [run.mean(matched_on) for run in group]
        points[setting] = float(np.mean(learned)), float(np.mean(lost))
    return {
        setting
        for setting, (x, y) in points.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    }


def _rates(runs: Sequence[Run], seed: int) -> int:
    """At how many rates a seed was trained; epochs of one training are one run."""
    return len({run.labels["learning_rate"] for run in runs if run.seed == seed and not run.start})


def _nearest(curve: Sequence[Run], where: float, matched_on: str) -> tuple[Run, Run]:
    """The two points of a curve between which `where` lies. Raises `OutOfRange`."""
    along = sorted(curve, key=lambda run: run.mean(matched_on))
    places = [run.mean(matched_on) for run in along]
    for near, (x0, x1) in zip(pairwise(along), pairwise(places), strict=True):
        if x0 <= where <= x1 and x0 < x1:
            return near
    ends = f"{places[0]:.2f} to {places[-1]:.2f}"
    raise OutOfRange(f"learned {where:.2f}, the other method's curve spans {ends}")
