"""What only the chapter on LoRA draws: the linear law, spectra, its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters.lora.experiment import experiment
from forgetting.evidence import effects, laws, records
from forgetting.evidence.records import Run
from forgetting.views import figures, theme
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, arms_of, sign, style

LOOKS = theme.looks(experiment)
ACCURACY = ("hellaswag.acc_norm", "arc challenge.acc", "winogrande.acc")

# Learned calls against accuracy kept, and against drift on old text.
plane = partial(
    figures.plane,
    looks=LOOKS,
    learned="new answers.nats",
    losses={
        ACCURACY: "kept: change of accuracy",
        "old text.forward_kl": "lost: drift on old text, nats",
    },
    skill="calls",
)


def law(stored: Sequence[Run], *, x: str, y: str, labels: tuple[str, str]) -> Figure:
    """Every trained run as a point, and the least-squares line through all of them.

    `x` and `y` are measures, `labels` their axes' words. Raises `ValueError` for fewer than three
    different runs.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    trained = [run for run in stored if not run.start]
    fitted = laws.line(*_points(trained, x, y))
    for method in arms_of(stored, LOOKS):
        points = _points(records.select(trained, method=method), x, y)
        colour, marker = LOOKS[method]
        axis.scatter(*points, s=24, label=method, marker=marker, color=colour)
    ends = np.array([min(r.mean(x) for r in trained), max(r.mean(x) for r in trained)])
    axis.plot(ends, fitted.slope * ends + fitted.intercept, color="#888888", linewidth=1)
    words = f"y = {fitted.intercept:.2f} {fitted.slope:+.2f}·x, R² = {fitted.r2:.2f}"
    axis.set_title(words.replace("-", "−"))
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.legend(frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def spectra(stored: Sequence[Run], ranks: Mapping[str, int]) -> Figure:
    """How many singular values hold 90 % of ΔW's energy, by matrix: each method a row of boxes.

    A box spans the quartiles over transformer blocks and seeds. `ranks` are lines to compare with,
    by their words.
    """
    style()
    measured = [r for r in stored if not r.start and "spectrum" in r.scores]
    parts = [n for n in measured[0].scores["spectrum"].items if n.startswith("rank_90 ")]
    names = [method for method in arms_of(stored, LOOKS) if records.select(measured, method=method)]
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.8), layout="constrained")
    for shift, method in enumerate(names):
        group = records.select(measured, method=method)
        values = [[v for r in group for v in r.scores["spectrum"].items[part]] for part in parts]
        where = np.arange(len(parts)) + (shift - (len(names) - 1) / 2) * 0.8 / len(names)
        colour = LOOKS[method].colour
        axis.boxplot(
            values,
            positions=where,
            widths=0.6 / len(names),
            patch_artist=True,
            boxprops={"facecolor": colour, "edgecolor": colour},
            medianprops={"color": "white"},
            flierprops={"markersize": 2},
            manage_ticks=False,
            label=method,
        )
    for words, rank in ranks.items():
        axis.axhline(rank, color="#888888", linewidth=0.8, linestyle="--")
        axis.annotate(words, (len(parts) - 0.5, rank), fontsize=8, va="bottom", ha="right")
    axis.set_yscale("log")
    axis.set_xticks(range(len(parts)), [part.removeprefix("rank_90 ") for part in parts])
    axis.set_ylabel("singular values that hold 90 % of ΔW")
    axis.legend(frameon=False, fontsize=8, ncols=4)
    sign(figure, stored)
    return figure


def law_table(stored: Sequence[Run], *, x: str, y: str) -> pd.DataFrame:
    """How far runs lie from the line of `y` on `x` through all of them, method by method.

    `above` is the mean residual: positive where a method has more of `y` than the line says. A
    method of three runs or more has the R² of a line of its own beside it. The last row is the
    shifted power law in trained weights and optimiser steps, from five runs on. Raises `ValueError`
    for fewer than three trained runs.
    """
    trained = [run for run in stored if not run.start]
    xs, ys = _points(trained, x, y)
    fitted = laws.line(xs, ys)
    all_runs = effects.line_effect(trained, x, y)
    interval = f"{all_runs.mean:.2f} [{all_runs.low:.2f}, {all_runs.high:.2f}]"
    rows = {"all runs": {"runs": len(trained), "R²": interval}}
    for method in arms_of(stored, LOOKS):
        group = records.select(trained, method=method)
        left = [r.mean(y) - fitted.slope * r.mean(x) - fitted.intercept for r in group]
        rows[method] = {"runs": len(group), "above": f"{fmean(left):+.3f}"}
        if len(group) >= laws.FEWEST:
            own = laws.line(*_points(group, x, y))
            rows[method]["R²"] = f"{own.r2:.2f} (a line of its own)"
    if len(trained) >= laws.FEWEST_FOR_POWER:
        power = laws.power_law([r.trainable for r in trained], [len(r.losses) for r in trained], ys)
        name = f"power law: weights^{power.a:.2g} · steps^{power.b:.2g}"
        rows[name] = {"runs": len(trained), "R²": f"{power.r2:.2f}"}
    return titled(rows, "fit").fillna("")


def _points(runs: Sequence[Run], x: str, y: str) -> tuple[list[float], list[float]]:
    return [run.mean(x) for run in runs], [run.mean(y) for run in runs]
