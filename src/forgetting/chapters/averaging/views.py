"""What only the chapter on averaging draws: ways to and fro, who refuses what, a choice of λ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from forgetting import wording
from forgetting.chapters import halves, published, refusals
from forgetting.chapters.averaging.experiment import SHARES, experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.probes.baselines import ONE_ANSWER
from forgetting.views import tables, theme
from forgetting.views.figures import change, floors
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

SLOW = "tuned ÷3"  # a third of the rate; elsewhere it continues the curve of "tuned"
LOOKS = theme.arm_looks(experiment)
LEARNED, OLD = "new answers.nats", "old text.nats"
AVERAGES = tuple(f"λ {share:g}" for share in SHARES)
COLUMNS = {
    LEARNED: "labels, nats",
    "label.em": "right labels",
    "label.balanced": "right labels, balanced",
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
WORTH = 0.8  # share of the full gain that a choice of λ must keep


def ends(stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm as its training ended at its own central rate, in the experiment's order."""
    return published.ends(experiment, stored)


def compared(stored: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """The models with which the chapter opens, by name, and the shares that are told of them."""
    of = ends(stored)
    models = {
        "before": [records.start_of(stored)],
        "fine-tuned": of.get("tuned", []),
        "half way back": of.get("λ 0.5", []),
        "a third of the rate": of.get(SLOW, []),
    }
    words = {
        "label.em": "labels right",
        "label.balanced": "labels right, balanced",
        "json.json": "JSON when asked for it",
        "unsafe.refused": "unsafe prompts refused",
        "safe.refused": "safe prompts refused",
    }
    start = models["before"][0]
    if (alike := floors(start, "label.em").get(ONE_ANSWER)) is not None:
        words["label.em"] += f" (always one answer: {100 * alike:.0f} %)"
    return models, tables.measured(words, start)


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
    of = ends(stored)
    ways = []
    averages = [of[name] for name in (*AVERAGES, "tuned") if name in of]
    if len(averages) > 1:
        ways.append(("averaged", averages, LOOKS["λ 0.5"]))
    for name, group in of.items():
        if name in AVERAGES:
            continue
        about = group[0].labels
        same = {label: about[label] for label in ("method", "learning_rate")}
        words = {"tuned": f"trained, {wording.rate(about['learning_rate'])}"}
        words[SLOW] = words["tuned"]
        epochs = _by_epoch(records.select(stored, **same))
        ways.append((words.get(name, name), epochs, LOOKS[name]))
    return ways


def _by_epoch(runs: Sequence[Run]) -> list[list[Run]]:
    epochs = sorted({run.labels["epochs"] for run in runs})
    return [list(records.select(runs, epochs=count)) for count in epochs]


def refusing(stored: Sequence[Run]) -> Figure:
    """Who refuses what, of every arm."""
    return refusals.refusing(stored, ends(stored), LOOKS)


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
    paths = _paths(ends(stored))
    for rule, choose in rules.items() if paths else ():
        picks, gains, losses = [], [], []
        for path in paths:
            pick = choose(
                *(halves.better(path, start, m, half=0) for m in (LEARNED, "safe answers.nats"))
            )
            picks.append(pick)
            gain, safe = (
                halves.better(path, start, m, half=1) for m in (LEARNED, "safe answers.nats")
            )
            gains.append(gain[pick] / (gain[1.0] or math.nan))
            losses.append(-safe[pick])
        rows[rule] = {
            "λ, by seed": ", ".join(f"{pick:g}" for pick in picks),
            "share of the gain kept, other half": f"{fmean(gains):.2f}",
            "safe answers, other half, nats": f"{fmean(losses):+.3f}",
        }
    return titled(rows, "rule")


def _paths(of: Mapping[str, Sequence[Run]]) -> list[dict[float, Run]]:
    """Of each seed its model at every λ that was measured; at 1 what training left."""
    shares = {**dict(zip(AVERAGES, SHARES, strict=True)), "tuned": 1.0}
    by_seed: dict[int, dict[float, Run]] = {}
    for name, share in shares.items():
        for run in of.get(name, ()):
            by_seed.setdefault(run.seed, {})[share] = run
    return [path for _, path in sorted(by_seed.items()) if len(path) > 1 and 1.0 in path]


def _worth(gain: Mapping[float, float]) -> list[float]:
    """Each λ that keeps enough of the full gain; the whole way where there was none."""
    return [share for share, value in gain.items() if value >= WORTH * gain[1.0]] or [1.0]
