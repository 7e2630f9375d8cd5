"""Laws of forgetting: curves through many runs, and how well they fit.

Kalajdzievski (2024, arXiv 2401.05605) finds forgetting to be a straight line in the fine-tuning
loss, and a shifted power law in the number of trained weights and of updates.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 2000
FEWEST = 3  # points through which a line says something
FEWEST_FOR_POWER = 5  # four numbers are fitted


class Line(NamedTuple):
    """y = slope·x + intercept by least squares; `r2` is the share of y's variance it explains."""

    slope: float
    intercept: float
    r2: float


class PowerLaw(NamedTuple):
    """y = shift + scale·P^a·N^b by least squares over a grid of shifts."""

    shift: float
    scale: float
    a: float
    b: float
    r2: float


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """The least-squares line. Raises `ValueError` for fewer than three points or a single x."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if len(xs) < FEWEST or np.ptp(xs) == 0:
        raise ValueError(f"{len(set(xs.tolist()))} different points: a line needs {FEWEST}")
    slope, intercept = np.polyfit(xs, ys, 1)
    return Line(float(slope), float(intercept), _r2(ys, slope * xs + intercept))


def correlations(
    x: ArrayLike, y: ArrayLike, groups: Sequence[Hashable] | None = None
) -> list[float]:
    """Pearson's r for runs drawn with replacement, seed fixed; a group's runs are drawn together.

    Its square is the R² of `line`.

    Raises `ValueError` for fewer than three groups.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups or range(len(xs))):
        members.setdefault(group, []).append(place)
    if len(members) < FEWEST:
        raise ValueError(f"{len(members)} different trainings: a line needs {FEWEST}")
    sets = list(members.values())
    drawn = np.random.default_rng(0).integers(len(sets), size=(RESAMPLES, len(sets)))
    resamples = (np.concatenate([sets[number] for number in numbers]) for numbers in drawn)
    return [correlation(xs[at], ys[at]) for at in resamples if len(set(xs[at])) >= FEWEST]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; 0 where one of the two does not vary."""
    dx, dy = x - x.mean(), y - y.mean()
    spread = float(dx @ dx) * float(dy @ dy)
    return float(dx @ dy) / spread**0.5 if spread else 0.0


def power_law(weights: Sequence[float], updates: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Fit y on trained weights P and optimiser steps N, all positive; y may be shifted.

    For each of 200 shifts below min(y) the rest is a plane in logarithms; the shift whose curve
    leaves the least squared error in y itself is kept. Raises `ValueError` for fewer than five
    points.
    """
    p, n, ys = (np.asarray(values, float) for values in (weights, updates, y))
    if len(ys) < FEWEST_FOR_POWER:
        raise ValueError(f"{len(ys)} points: four numbers are fitted, so five are needed")
    span = np.ptp(ys) or 1.0
    best: PowerLaw | None = None
    for share in np.geomspace(1e-3, 10, 200):
        shift = float(ys.min() - share * span)
        design = np.column_stack([np.ones_like(p), np.log(p), np.log(n)])
        (log_scale, a, b), *_ = np.linalg.lstsq(design, np.log(ys - shift), rcond=None)
        r2 = _r2(ys, shift + np.exp(design @ [log_scale, a, b]))
        if best is None or r2 > best.r2:
            best = PowerLaw(shift, float(np.exp(log_scale)), float(a), float(b), r2)
    assert best
    return best


def _r2(y: np.ndarray, fitted: np.ndarray) -> float:
    spread = ((y - y.mean()) ** 2).sum()
    return float(1 - ((y - fitted) ** 2).sum() / spread) if spread else 0.0
