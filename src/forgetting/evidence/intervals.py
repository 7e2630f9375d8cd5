"""Intervals: the mean of a matrix of seeds and items, with its 95 % interval and what it can show.

The one place where an interval is made. Items are a sample of a task, seeds a sample of runs; both
are allowed for, each with its own Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import optimize, special

LEVEL, POWER = 0.95, 0.8
TINY = 1e-12

# Half an item in each cell of a paired table (Agresti & Min 2005), two right and two wrong ones
# beside a share (Agresti & Coull 1998): (value, weight). Few items that agree prove little.
PSEUDO = {
    "difference": ((1.0, 0.5), (-1.0, 0.5), (0.0, 1.0)),
    "share": ((1.0, 2.0), (0.0, 2.0)),
}
Binary = Literal["difference", "share"]


class Part(NamedTuple):
    """One source of chance: its variance of the mean, degrees of freedom, and skewness / √units."""

    of: Literal["items", "seeds", "reading"]
    variance: float
    freedom: float
    skew: float = 0.0


class Effect(BaseModel):
    """A mean with its 95 % interval, over `items` paired items and `seeds` paired seeds.

    `orders`: of tasks learned one after the other, where the mean is over several of them. The
    interval lies around `centre`: the mean, or a share drawn a little towards the middle. It comes
    from `parts`, or from `draws` of a bootstrap; without either nothing is known.
    """

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float = -math.inf
    high: float = math.inf
    items: int
    seeds: int
    orders: int = 1
    centre: float = 0.0
    parts: tuple[Part, ...] = ()
    draws: tuple[float, ...] = ()

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """The interval at a confidence level."""
        tails = (1 - level) / 2, (1 + level) / 2
        if self.draws:
            low, high = np.quantile(self.draws, tails)
            return float(low), float(high)
        if not self.parts:
            return -math.inf, math.inf
        below = sum(_quantile(part, tails[1]) ** 2 * part.variance for part in self.parts)
        above = sum(_quantile(part, tails[0]) ** 2 * part.variance for part in self.parts)
        return self.centre - math.sqrt(below), self.centre + math.sqrt(above)

    def p(self, value: float) -> float:
        """Two-sided: 1 minus the level of the interval that just reaches `value`."""
        if self.draws:
            below = float(np.mean(np.asarray(self.draws) <= value))
            return max(2 * min(below, 1 - below), 1 / len(self.draws))
        if not self.parts or value == self.centre:
            return 1.0
        end = 0 if value < self.centre else 1

        def reach(level: float) -> float:
            return abs(self.bounds(level)[end] - self.centre) - abs(value - self.centre)

        if reach(0.0) >= 0:
            return 1.0
        if reach(1 - TINY) < 0:
            return TINY
        return 1 - float(optimize.brentq(reach, 0.0, 1 - TINY))

    @property
    def detectable(self) -> float:
        """The distance from a threshold that such runs would show in four cases of five."""
        if self.draws:
            return (self.high - self.low) / 2 * (1 + special.ndtri(POWER) / special.ndtri(0.975))
        if not self.parts:
            return math.inf
        factors = [
            special.stdtrit(p.freedom, 0.975) + special.stdtrit(p.freedom, POWER)
            for p in self.parts
        ]
        return math.sqrt(sum(f**2 * p.variance for f, p in zip(factors, self.parts, strict=True)))


def interval(
    differences: np.ndarray,
    weights: np.ndarray | None = None,
    blocks: np.ndarray | None = None,
    binary: Binary | None = None,
    more: Sequence[Part] = (),
) -> Effect:
    """The mean of a (seeds, items) matrix of differences with its 95 % interval.

    Seeds and items are crossed random effects (Cornfield & Tukey 1956). The items' part of the
    variance is that of the items' means over n; the seeds' part is what the seeds' means vary
    beyond what items alone would make them. Each part has its own t, and the squares of the half-
    widths add up. Few documents of a skewed measure get Hall's (1992) transformation.

    `weights` (items,) are tokens where items differ in length, `blocks` (items,) numbers of groups
    whose items belong together: a group counts as one. `binary` says that items are right or wrong
    on both sides, and whether the matrix has their differences or shares; they get pseudo-items
    instead of the transformation, which count as much of a group as its items seem to. Items that
    do not vary at all, and are not binary, decide nothing: the interval is infinite. `more` are
    other sources of chance.
    """
    count_seeds, count_items = differences.shape
    units = _units(differences, weights, blocks)
    mean = float(units.mean())
    centre, items = _items_part(units.mean(axis=0), binary, _share(differences, units))
    parts = [part for part in (items, _seeds_part(units), *more) if part and part.variance > 0]
    if items is None or items.variance == 0:
        parts = parts if items is None and count_seeds > 1 else []
    effect = Effect(mean=mean, items=count_items, seeds=count_seeds, centre=centre, parts=parts)
    low, high = effect.bounds()
    return effect.model_copy(update={"low": low, "high": high})


def _units(
    differences: np.ndarray, weights: np.ndarray | None, blocks: np.ndarray | None
) -> np.ndarray:
    """(seeds, units): what every item or block adds to the mean, scaled so that it averages to it.

    The ratio estimator's: a unit's deviation from the mean counts by its tokens.
    """
    n = differences.shape[1]
    share = np.ones(n) if weights is None else weights / weights.mean()
    mean = float((differences * share).mean())
    deviations = (differences - mean) * share
    if blocks is not None:
        _, place = np.unique(blocks, return_inverse=True)
        count = int(place.max()) + 1
        rows = [np.bincount(place, weights=row, minlength=count) for row in deviations]
        deviations = np.array(rows) * count / n
    return mean + deviations


def _share(differences: np.ndarray, units: np.ndarray) -> float:
    """How much of a group an item counts: what groups' means vary over what items do.

    That is one over a group's items where these have nothing to do with each other, and 1 where
    they are alike, or where nothing varies and it cannot be known.
    """
    fewest = units.shape[1] / differences.shape[1]
    items, groups = differences.mean(axis=0).var(), units.mean(axis=0).var()
    return float(np.clip(groups / items, fewest, 1.0)) if items > 0 else 1.0


def _items_part(
    by_unit: np.ndarray, binary: Binary | None, share: float
) -> tuple[float, Part | None]:
    """The centre of the interval, and what a sample of units adds to its width.

    `share` is how much of a unit an item counts: what pseudo-items weigh.
    """
    values, weights = by_unit, np.ones(len(by_unit))
    if binary:
        pseudo = np.array(PSEUDO[binary])
        values, weights = np.append(values, pseudo[:, 0]), np.append(weights, share * pseudo[:, 1])
    n = float(weights.sum())
    if n <= 1:
        return float(by_unit.mean()), None
    centre = float((weights * values).sum() / n)
    deviations = values - centre
    spread = float((weights * deviations**2).sum() / n)
    if binary or spread == 0:
        skew = 0.0
    else:
        skew = float((weights * deviations**3).mean() / spread**1.5)
    return centre, Part("items", spread / (n - 1), n - 1, skew / math.sqrt(n))


def _seeds_part(units: np.ndarray) -> Part | None:
    """What the seeds' means vary beyond the interaction of seeds and units."""
    seeds, n = units.shape
    if seeds < 2:
        return None
    by_seed = units.mean(axis=1)
    variance = float(by_seed.var(ddof=1))
    if n > 1:
        rest = units - by_seed[:, None] - units.mean(axis=0)[None] + units.mean()
        variance -= float((rest**2).sum()) / ((seeds - 1) * (n - 1)) / n
    return Part("seeds", max(variance, 0.0) / seeds, seeds - 1)


def _quantile(part: Part, level: float) -> float:
    """A quantile of (estimate - truth) / standard error: Student's t, turned by Hall's transform.

    Hall (1992, "On the removal of skewness by transformation"): T(w) = w + kw²/3 + k²w³/27 + k/6
    is nearly normal for k = skewness / √n; this is its inverse at t.
    """
    t = float(special.stdtrit(part.freedom, level))
    if abs(part.skew) < 1e-6:
        return t
    return 3 / part.skew * (float(np.cbrt(1 + part.skew * (t - part.skew / 6))) - 1)
