"""What only the chapter on averaging draws: ways to and fro, who refuses what, a choice of λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters.averaging.experiment import SHARES, experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views import theme
from forgetting.views.figures import change
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, arms_of, sign, style

LOOKS = theme.looks(experiment)
LEARNED, OLD = "new answers.nats", "old text.nats"
AVERAGES = tuple(f"λ {share:g}" for share in SHARES)
COLUMNS = {
    LEARNED: "labels, nats",
    "label.em": "right labels",
    "safe answers.nats": "safe answers, nats",
    "openings unsafe.log_mass": "refusals' openings, unsafe, nats",
    "openings safe.log_mass": "the same, safe",
    "unsafe.refused": "refused, unsafe",
    "safe.refused": "refused, safe",
    "json.json": "JSON",
    OLD: "old text, nats",
}
LOSSES = {
    "safe answers.nats": "lost: safe answers, nats a token",
    "openings unsafe.log_mass": "openings of refusals, unsafe prompts, nats",
}
BROKEN = 0.5  # nats a token of old text above the start: such a model is broken, not safe
WORTH = 0.8  # share of the full gain that a choice of λ must keep


def compared(stored: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """The models with which the chapter opens, by name, and the shares that are told of them."""
    tuned = records.select(stored, method="tuned")
    last = max((run.labels["epochs"] for run in tuned), default=0)
    ends = records.select(tuned, epochs=last)
    rates = sorted({run.labels["learning_rate"] for run in ends}, reverse=True)
    by_rate = [list(records.select(ends, learning_rate=rate)) for rate in rates[:2]]
    if len(by_rate) < 2:
        return {}, {}
    models = {
        "before": [records.start_of(stored)],
        "fine-tuned": by_rate[0],
        "half way back": list(records.select(stored, method="λ 0.5")),
        "a third of the rate": by_rate[1],
    }
    words = {
        "label.em": "labels right",
        "json.json": "JSON when asked for it",
        "unsafe.refused": "unsafe prompts refused",
        "safe.refused": "safe prompts refused",
    }
    return models, words


def ways(stored: Sequence[Run]) -> Figure:
    """Learned against lost, from the start on: by averaging, and by every way of training.

    A training's line goes through what it was after each epoch, the average's through every λ.
    """
    style()
    start = records.start_of(stored)
    figure, axes = plt.subplots(1, len(LOSSES), figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    for axis, (measure, label) in zip(axes, LOSSES.items(), strict=True):
        for name, groups, look in _ways(stored):
            points = [(0.0, 0.0)] if len(groups) > 1 else []
            points += [
                (-change(group, start, LEARNED).mean, change(group, start, measure).mean)
                for group in groups
            ]
            style_of = {"color": look.colour, "marker": look.marker, "markersize": 5}
            width = 2.2 if name == "averaged" else 1.1
            axis.plot(*zip(*points, strict=True), label=name, linewidth=width, **style_of)
        axis.axhline(0, color="#888888", linewidth=0.8)
        axis.plot(0, 0, "*", color="black", markersize=11, zorder=5)
        axis.set_xlabel("learned: labels of reviews, nats a token")
        axis.set_ylabel(label)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def _ways(stored: Sequence[Run]) -> list[tuple[str, list[list[Run]], theme.Look]]:
    """Each way's name, its runs point by point, and its look."""
    ways: list[tuple[str, list[list[Run]], theme.Look]] = []
    tuned = records.select(stored, method="tuned")
    for rate in sorted({run.labels["learning_rate"] for run in tuned}, reverse=True):
        at_rate = records.select(tuned, learning_rate=rate)
        colour = LOOKS["tuned"].colour
        look = theme.Look(theme.tint(colour, 0.0 if not ways else 0.4), LOOKS["tuned"].marker)
        ways.append((f"trained, {rate:g}", _by_epoch(at_rate), look))
    averages = [runs for name in AVERAGES if (runs := records.select(stored, method=name))]
    if tuned and averages:
        groups = [*averages, ways[0][1][-1]]
        ways.insert(0, ("averaged", groups, LOOKS["λ 0.5"]))
    for name in arms_of(stored, LOOKS):
        if name not in ("tuned", *AVERAGES):
            ways.append((name, _by_epoch(records.select(stored, method=name)), LOOKS[name]))
    return ways


def _by_epoch(runs: Sequence[Run]) -> list[list[Run]]:
    epochs = sorted({run.labels["epochs"] for run in runs})
    return [list(records.select(runs, epochs=count)) for count in epochs]


def refusing(stored: Sequence[Run]) -> Figure:
    """Who refuses what: the share of unsafe prompts refused against that of their safe twins.

    On the grey line a model refuses both alike: it tells nothing apart.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=1)
    start = records.start_of(stored)
    groups = {"untouched": [start]}
    groups |= {
        name: [r for r in records.select(stored, method=name) if "unsafe" in r.scores]
        for name in arms_of(stored, LOOKS)
    }
    for name, group in groups.items():
        if group:
            place = (_mean(group, "safe.refused"), _mean(group, "unsafe.refused"))
            colour, marker = theme.ORIGIN if name == "untouched" else LOOKS[name]
            words = "the aligned start" if name == "untouched" else name
            axis.plot(*place, marker, color=colour, markersize=8, label=words, linestyle="none")
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("safe prompts refused, share")
    axis.set_ylabel("unsafe prompts refused, share")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def chosen_table(stored: Sequence[Run]) -> pd.DataFrame:
    """λ chosen by the even items, and what it is worth on the odd ones; means over seeds.

    Rules: the λ with the likeliest labels, as the paper chooses; the smallest λ that keeps 0.8
    of the full gain; the λ with the likeliest safe answers of these that keep as much.
    """
    start = records.start_of(stored)
    rules = {
        "likeliest labels": lambda gain, safe: max(gain, key=gain.__getitem__),
        "smallest λ with 0.8 of the gain": lambda gain, safe: min(_worth(gain)),
        "safest λ with 0.8 of the gain": lambda gain, safe: max(_worth(gain), key=safe.__getitem__),
    }
    rows: dict[str, dict[str, str]] = {}
    averaged = [run for name in AVERAGES for run in records.select(stored, method=name)]
    for rule, choose in rules.items() if averaged else ():
        picks, gains, losses = [], [], []
        for seed in sorted({run.seed for run in averaged}):
            path = _path(stored, seed)
            pick = choose(
                *(_better(path, start, m, half=0) for m in (LEARNED, "safe answers.nats"))
            )
            picks.append(pick)
            gain, safe = (_better(path, start, m, half=1) for m in (LEARNED, "safe answers.nats"))
            gains.append(gain[pick] / gain[1.0])
            losses.append(-safe[pick])
        rows[rule] = {
            "λ, by seed": ", ".join(f"{pick:g}" for pick in picks),
            "share of the gain kept, other half": f"{fmean(gains):.2f}",
            "safe answers, other half, nats": f"{fmean(losses):+.3f}",
        }
    return titled(rows, "rule")


def _path(stored: Sequence[Run], seed: int) -> dict[float, Run]:
    """A seed's model at every λ that was measured; at 1 what the last epoch left."""
    path = {
        share: run
        for share, name in zip(SHARES, AVERAGES, strict=True)
        for run in records.select(stored, method=name, seed=seed)
    }
    tuned = records.select(stored, method="tuned", seed=seed)
    return path | {1.0: max(tuned, key=lambda r: (r.labels["learning_rate"], r.labels["epochs"]))}


def _better(path: Mapping[float, Run], start: Run, measure: str, half: int) -> dict[float, float]:
    """How much likelier answers became at each λ, nats a token, on every other item."""
    role, _, metric = measure.rpartition(".")
    before, weights = (values[half::2] for values in start.scores_of(role).values(metric))
    total = sum(weights)
    return {
        share: sum(
            weight * (old - new)
            for old, new, weight in zip(
                before, run.scores_of(role).values(metric)[0][half::2], weights, strict=True
            )
        )
        / total
        for share, run in path.items()
    }


def _worth(gain: Mapping[float, float]) -> list[float]:
    """Each λ that keeps enough of the full gain; the whole way where there was none."""
    return [share for share, value in gain.items() if value >= WORTH * gain[1.0]] or [1.0]


def broken_table(stored: Sequence[Run]) -> pd.DataFrame:
    """Old text of each arm, above the start; half a nat a token more and a model is broken."""
    start = records.start_of(stored)
    rows = {}
    for name in arms_of(stored, LOOKS):
        above = _mean(records.select(stored, method=name), OLD) - start.mean(OLD)
        rows[name] = {
            "old text above the start, nats": f"{above:+.3f}",
            "broken": "yes" if above > BROKEN else "no",
        }
    return titled(rows, "arm")


def _mean(runs: Sequence[Run], measure: str) -> float:
    return fmean(run.mean(measure) for run in runs)
