"""What only the chapters on own words draw: planes, and one law through several chapters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from forgetting.chapters.own_words.experiment import experiment
from forgetting.evidence import laws
from forgetting.views import figures, theme
from forgetting.views.theme import OF_RECORDS, PAGE_WIDTH, PALETTE, style

LOOKS = theme.looks(experiment)
DRIFTS: dict[tuple[str, ...] | str, str] = {
    "old text.forward_kl": "drift on old text, nats",
    "old answers.forward_kl": "drift on old answers, nats",
}

# Learned calls against drift on old text and on old answers.
plane = partial(
    figures.plane, looks=LOOKS, learned="new answers.nats", losses=DRIFTS, skill="calls"
)


def law_of_the_book(
    points: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str]
) -> Figure:
    """One least-squares line through the runs of several chapters, (x, y) each, on a log scale.

    The title has R² over all runs, the legend that of each chapter alone. Raises `ValueError` for
    fewer than three different runs.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    for colour, (chapter, pairs) in zip(PALETTE, points.items(), strict=False):
        xs, ys = zip(*pairs, strict=True)
        words = f"{chapter}, {len(pairs)} runs"
        if len(pairs) >= laws.FEWEST:
            words += f", R² = {laws.line(xs, ys).r2:.2f}"
        axis.scatter(xs, ys, s=22, color=colour, alpha=0.8, label=words)
    xs, ys = zip(*itertools.chain(*points.values()), strict=True)
    fitted = laws.line(xs, ys)
    ends = np.geomspace(max(min(xs), 1e-4), max(xs), 100)
    axis.plot(ends, fitted.slope * ends + fitted.intercept, color="#888888", linewidth=1)
    axis.set_xscale("log")
    axis.set_title(f"one line through {len(xs)} runs: R² = {fitted.r2:.2f}")
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.legend(frameon=False, fontsize=8)
    figure.set_gid(OF_RECORDS)
    return figure
