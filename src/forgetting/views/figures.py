"""Figures that several chapters draw."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from forgetting.evidence import effects, records
from forgetting.evidence.intervals import Effect
from forgetting.evidence.records import Run
from forgetting.probes import baselines
from forgetting.views.theme import PAGE_WIDTH, Looks, arms_of, provenance, sign, style

FLOORS = {baselines.GUESS: "|", baselines.ONE_ANSWER: "x"}  # their marks
FLOOR_STYLE: dict[str, Any] = {"color": "#666666", "markersize": 9, "linestyle": "none"}


def plane(
    stored: Sequence[Run],
    looks: Looks,
    *,
    learned: str,
    losses: Mapping[tuple[str, ...] | str, str],
    skill: str,
    share: bool = False,
) -> Figure:
    """The (learned, lost) plane: each method a curve over its learning rates.

    `learned` is a measure whose fall is learning, of what the axis calls `skill`; with `share` it
    is a share of items, whose rise is learning. `losses` maps measures (or several whose items are
    pooled) to axis labels, one panel each, drawn as differences from the start model. Bars are
    95 % intervals over items and seeds. Of runs measured after several epochs the last make the
    curve, the others are small dots. Raises `KeyError` for a measure that the records lack.
    """
    style()
    start = records.start_of(stored)
    figure, axes = plt.subplots(
        1, len(losses), figsize=(PAGE_WIDTH, 4.4), squeeze=False, layout="constrained"
    )
    for axis, (measure, label) in zip(axes[0], losses.items(), strict=True):
        for method in arms_of(stored, looks):
            of_method = records.select(stored, method=method)
            points, early = _curve(of_method, learned, measure, start, towards=1 if share else -1)
            x, y, below, above = np.array(points).T
            colour, marker = looks[method]
            if early:
                axis.scatter(*np.array(early).T[:2], s=9, color=colour, alpha=0.5, linewidths=0)
            axis.errorbar(
                x,
                y,
                yerr=np.abs([below, above]),
                label=method,
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.3,
                elinewidth=0.7,
                alpha=0.9,
            )
        axis.axhline(0, color="#888888", linewidth=0.8)
        axis.plot(0, 0, "*", color="black", markersize=11, zorder=5)
        axis.annotate("untouched", (0, 0), (5, 5), textcoords="offset points", fontsize=8)
        axis.set_xlabel(f"learned: {skill}, {'share of items' if share else 'nats a token'}")
        axis.set_ylabel(label)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def _curve(
    of_method: Sequence[Run],
    learned: str,
    lost: tuple[str, ...] | str,
    start: Run,
    towards: int,
) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """(learned, lost, its bar's lengths below and above) by rate: after the last epoch, earlier."""
    points: list[tuple[float, ...]] = []
    early: list[tuple[float, ...]] = []
    last = max(run.labels.get("epochs", 0) for run in of_method)
    kinds = {(run.labels["learning_rate"], run.labels.get("epochs", 0)) for run in of_method}
    for rate, epochs in sorted(kinds):
        labels = {"learning_rate": rate} | ({"epochs": epochs} if epochs else {})
        group = records.select(of_method, **labels)
        gain, loss = change(group, start, learned), change(group, start, lost)
        point = (towards * gain.mean, loss.mean, loss.mean - loss.low, loss.high - loss.mean)
        (points if epochs == last else early).append(point)
    return points, early


def before_and_after(
    groups: Mapping[str, Sequence[Run]], start: Run, measures: Mapping[str, str], looks: Looks
) -> Figure:
    """What share of each skill's items the model got right before and after, each method a mark.

    `groups` holds each method's runs, `measures` maps shares to the skills' names, drawn from the
    top down. Marks are means over items and seeds; bars are the 95 % interval of the change. Grey
    marks are what an accuracy is without reading.
    """
    style()
    height = 0.9 + 0.55 * len(measures)
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, height), layout="constrained")
    shifts = np.linspace(-0.22, 0.22, len(groups))
    named = set[str]()
    for place, measure in enumerate(measures):
        before = start.mean(measure)
        axis.axhspan(place - 0.4, place + 0.4, color="#F4F4F4", linewidth=0)
        axis.plot(before, place, "*", color="black", markersize=11, zorder=5)
        for floor, value in floors(start, measure).items():
            label = None if floor in named else floor
            named.add(floor)
            axis.plot(value, place, FLOORS[floor], label=label, **FLOOR_STYLE)
        for shift, (method, group) in zip(shifts, groups.items(), strict=True):
            effect = change(group, start, measure)
            axis.errorbar(
                before + effect.mean,
                place + shift,
                xerr=np.abs([[effect.mean - effect.low], [effect.high - effect.mean]]),
                fmt=looks[method].marker,
                color=looks[method].colour,
                markersize=6,
                elinewidth=0.8,
                label=method if not place else None,
            )
    axis.set_yticks(range(len(measures)), list(measures.values()))
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("share of items (★ before)")
    columns = min(4, len(groups))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    sign(figure, [start, *(record for group in groups.values() for record in group)])
    return figure


def floors(run: Run, measure: str) -> dict[str, float]:
    """What "role.metric" is without reading (`baselines.floors`)."""
    role, _, metric = measure.rpartition(".")
    return baselines.floors(run.scores_of(role), metric)


def change(group: Sequence[Run], start: Run, measure: tuple[str, ...] | str) -> Effect:
    """group - start, mean and interval over items and seeds."""
    measures = [measure] if isinstance(measure, str) else list(measure)
    return effects.paired_effect(group, [start], measures)


def surprise(run: Run, threshold: float, looks: Looks) -> Figure:
    """How much each kind of target surprises the untouched model: nats of its tokens, in order.

    Each curve runs over the share of tokens that surprise less. The line is the logarithm of
    `threshold`, a perplexity; the words say what share of tokens lies above it.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.8), layout="constrained")
    for kind, scores in run.scores.items():
        nats = np.sort(scores.items["surprise"])
        above = float(np.mean(nats > np.log(threshold)))
        words = f"{kind}: perplexity {np.exp(nats.mean()):.2f}, {above:.0%} above {threshold:g}"
        colour = looks[kind].colour
        axis.plot(np.arange(1, len(nats) + 1) / len(nats), nats, label=words, color=colour)
    axis.axhline(np.log(threshold), color="#888888", linewidth=0.8, linestyle="--")
    axis.set_xlabel("share of the answers' tokens")
    axis.set_ylabel("nats under the untouched model")
    axis.legend(frameon=False, fontsize=8)
    figure.suptitle(provenance([run]), fontsize=8, color="#555555", x=0.01, ha="left")
    return figure
