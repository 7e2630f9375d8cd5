"""What only the chapter on sequences draws: scores along an order, dreams, what was spent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters.lamol.experiment import experiment
from forgetting.evidence.papers import Table
from forgetting.evidence.trajectories import (
    Trajectory,
    dream_reports,
    in_one_order,
    single_scores,
)
from forgetting.evidence.trajectories import trajectories as trajectories_of
from forgetting.views import theme
from forgetting.views.tables import clean, titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

Z95 = 1.96  # standard errors on either side of a mean in its 95 % interval
PLAIN = "fine-tune"  # the arm that others are compared with


def along_orders(stored: Sequence[Trajectory], *, every_order: bool = False) -> Figure:
    """Every task's score along the first order of learning, a line a method; a column a task.

    With `every_order` the methods that were run in several: a row a task, a column an order. The
    grey line marks where the task is learned. Lines are means over seeds with 95 % intervals over
    items; multitask, which has no order, is the dashed line.
    """
    style()
    found = [trajectory for trajectory in stored if len(trajectory.runs) > 2]
    orders = list(dict.fromkeys(trajectory.tasks for trajectory in found))
    tasks = orders[0]
    if every_order:
        several = {trajectory.method for trajectory in found if trajectory.tasks != tasks}
        found = [trajectory for trajectory in found if trajectory.method in several] or found
    orders = orders if every_order else orders[:1]
    upper = [trajectory for trajectory in stored if len(trajectory.runs) == 2]
    shape = (len(tasks), len(orders)) if every_order else (1, len(tasks))
    figure, axes = plt.subplots(
        *shape,
        figsize=(PAGE_WIDTH, 1.5 * shape[0] + (1.1 if every_order else 2.0)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    places = [(task, order) for task in tasks for order in orders]
    for axis, (task, order) in zip(axes.flat, places, strict=True):
        place = order.index(task)
        axis.axvline(place + 1, color="#CCCCCC", linewidth=3, zorder=0)
        for method in _arms(found):
            same = [c for c in found if c.method == method and c.tasks == order]
            if same:
                scores = np.mean([c.scores()[:, place] for c in same], axis=0)
                errors = np.array([c.errors()[:, place] for c in same])
                half = Z95 * np.sqrt((errors**2).sum(axis=0)) / len(same)
                axis.errorbar(range(len(scores)), scores, half, elinewidth=0.5, **_line(method))
        if upper:
            level = np.mean([c.scores()[-1, c.tasks.index(task)] for c in upper])
            name = upper[0].method
            axis.axhline(level, label=name, color=_looks()[name].colour, linestyle="--")
        axis.set_xticks(range(len(order) + 1), ["\u2013", *order], fontsize=7)
        axis.set_ylim(-0.03, 1.03)
        if not every_order:
            axis.set_title(task)
    for row, task in zip(axes, tasks, strict=False):
        row[0].set_ylabel(task if every_order else "score")
    _legend(figure)
    sign(figure, [run for trajectory in stored for run in trajectory.runs])
    return figure


def spent(stored: Sequence[Trajectory]) -> Figure:
    """The mean score at the end against how long the trainings of a sequence took.

    A point a method: the mean over seeds in one order, with their standard deviation where there
    are several. Times are of training alone, without what was drawn before it, in terms of
    fine-tuning from the same seed (of the first method where that was not run): the median, because
    runs may have shared their machine.
    """
    style()
    stored = in_one_order(stored)
    methods = _arms(stored)
    plain = PLAIN if PLAIN in methods else methods[0]
    took = {c.seed: c.training_seconds() for c in stored if c.method == plain}
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    for method in methods:
        same = [trajectory for trajectory in stored if trajectory.method == method]
        finals = [trajectory.final() for trajectory in same]
        pairs = [(c.training_seconds(), took.get(c.seed, 0.0)) for c in same]
        times = [seconds / of_plain for seconds, of_plain in pairs if of_plain]
        spread = float(np.std(finals, ddof=1)) if len(finals) > 1 else 0.0
        marker = _looks()[method].marker
        look = _line(method) | {"marker": marker, "markersize": 6, "linestyle": "none"}
        if times:
            axis.errorbar(np.median(times), np.mean(finals), yerr=spread, **look)
    axis.set_xlabel(f"training time of the whole sequence, times that of {plain}")
    axis.set_ylabel("mean score at the end")
    _legend(figure)
    sign(figure, [run for trajectory in stored for run in trajectory.runs])
    return figure


def _legend(figure: Figure) -> None:
    """One legend below for all axes, every name once."""
    named: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend(
        named.values(), named, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )


def _arms(trajectories: Sequence[Trajectory]) -> list[str]:
    """The arms in the experiment's order."""
    present = {trajectory.method for trajectory in trajectories}
    return [name for name in _looks() if name in present]


@cache
def _looks() -> dict[str, theme.Look]:
    return theme.looks(experiment)


def _line(method: str) -> dict[str, Any]:
    colour = _looks()[method].colour
    return {"label": method, "color": colour, "marker": "o", "markersize": 3, "linewidth": 1.3}


def orders_table(
    trajectories: Sequence[Trajectory], published: Table | None = None
) -> pd.DataFrame:
    """The mean score at the end, per cent: a row a method, a column an order, then all together.

    An order's cell is the mean over seeds; "all" the mean over orders ± their standard deviation,
    or over seeds and of seeds where there is one order. Rows of `published` stand below, in its
    last column alone.
    """
    named = list(dict.fromkeys(trajectory.order for trajectory in trajectories))
    rows: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(trajectory.method for trajectory in trajectories):
        finals: dict[str, list[float]] = {}
        for trajectory in trajectories:
            if trajectory.method == method:
                finals.setdefault(trajectory.order, []).append(100 * trajectory.final())
        means = {order: fmean(found) for order, found in finals.items()}
        replicates = list(means.values()) if len(means) > 1 else next(iter(finals.values()))
        spread = f"\u00a0±\u00a0{stdev(replicates):.1f}" if len(replicates) > 1 else ""
        rows[method] = {
            **{order: f"{means[order]:.1f}" if order in means else "" for order in named},
            "all": f"{fmean(replicates):.1f}{spread}",
            "runs": str(sum(len(found) for found in finals.values())),
        }
    for name, numbers in (published.rows if published else {}).items():
        rows[f"paper: {name}"] = {"all": f"{numbers[-1]:.1f}"}
    return titled(rows, "mean score").fillna("")


def forgetting_table(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """Every definition of forgetting, by method: means over seeds in one order, per cent."""
    single, trajectories = single_scores(trajectories, PLAIN), in_one_order(trajectories)
    rows = {}
    for method in dict.fromkeys(
        trajectory.method for trajectory in trajectories if len(trajectory.runs) > 2
    ):
        same = [
            trajectory.forgetting(single)
            for trajectory in trajectories
            if trajectory.method == method
        ]
        rows[method] = {
            name.replace("_", " "): f"{100 * fmean(each[name] for each in same):+.1f}"
            for name in same[0]
        }
    return titled(rows, "%")


def decoding_table(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """The scores at the end, answered greedily and drawn from the 20 likeliest tokens, per cent.

    Means over seeds in one order.
    """
    trajectories = in_one_order(trajectories)
    rows: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(trajectory.method for trajectory in trajectories):
        same = [trajectory for trajectory in trajectories if trajectory.method == method]
        greedy = [100 * trajectory.final() for trajectory in same]
        drawn = [100 * trajectory.final("drawn") for trajectory in same]
        gap = fmean(g - d for g, d in zip(greedy, drawn, strict=True))
        rows[method] = {
            "greedy": f"{fmean(greedy):.1f}",
            "drawn": f"{fmean(drawn):.1f}",
            "greedy - drawn": f"{gap:+.1f}",
        }
    return titled(rows, "mean score")


def known_table(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """What is said and what is known at the end, per cent: means over seeds in one order.

    A task's score is of its answers; "told apart" is how often the right answer is likelier than
    another question's. A guess is right half the time.
    """
    trajectories = in_one_order(trajectories)
    tasks = trajectories[0].tasks
    rows: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(trajectory.method for trajectory in trajectories):
        same = [trajectory for trajectory in trajectories if trajectory.method == method]
        said = [dict(zip(c.tasks, c.scores()[-1], strict=True)) for c in same]
        known = [
            dict(zip(c.tasks, c.at_end("told apart", "told_apart"), strict=True)) for c in same
        ]
        rows[method] = {
            f"{task}, {what}": f"{100 * fmean(one[task] for one in found):.0f}"
            for task in tasks
            for what, found in (("score", said), ("told apart", known))
        }
    return titled(rows, "%")


def dreams_table(trajectories: Sequence[Trajectory], method: str) -> pd.DataFrame:
    """What a method's dreams were worth, a row for each task and generation of its dreams.

    The first generation is dreamt just after the task was learned, the second when another task,
    rehearsed with the first, was learned after it. Orders and seeds are pooled; "written" and
    "valid" are of all dreams of that place, whatever they resemble.
    """
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for trajectory in trajectories:
        names = trajectory.names
        for count, record in enumerate(
            trajectory.runs[1:] if trajectory.method == method else [], 1
        ):
            for told in dream_reports(record):
                for task, about in told["gallery"].items():
                    place = trajectory.tasks[names.index(task)], count - 1 - names.index(task)
                    found.setdefault(place, {})[record.key] = [told, about]
    rows = {
        f"{task}, generation {generation}": _of_dreams(list(places.values()))
        for (task, generation), places in sorted(found.items())
    }
    return titled(rows, "dreams of")


def _of_dreams(places: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """One row of `dreams_table`: what was told of several draws, each dream with equal weight."""
    written, valid = (sum(told[name] for told, _ in places) for name in ("dreams", "valid"))
    alike = [about for _, about in places if about["dreams"]]
    count = sum(about["dreams"] for about in alike)
    mean = {
        name: sum(about[name] * about["dreams"] for about in alike) / count if alike else math.nan
        for name in ("novelty", "distinct")
    }
    return {
        "written": written,
        "valid": f"{valid / written:.0%}",
        "like this task": count,
        "novelty": f"{mean['novelty']:.2f}",
        "copies": sum(about["copies"] for about in alike),
        "distinct": f"{mean['distinct']:.0%}",
        "answers": _shares([(about["answers"], about["dreams"]) for about in alike]),
        "real answers": _shares([(about["real answers"], 1) for _, about in places]),
    }


def gallery_table(trajectories: Sequence[Trajectory], method: str) -> pd.DataFrame:
    """Dreams of a method's first trajectory beside the real examples that they resemble most."""
    rows: dict[str, dict[str, Any]] = {}
    first = [trajectory for trajectory in trajectories if trajectory.method == method][:1]
    for record in (record for trajectory in first for record in trajectory.runs[1:]):
        for told in dream_reports(record):
            for task, about in told["gallery"].items():
                for shown in about.get("shown", ()):
                    rows[clean(shown["dream"])] = {
                        "it answers": clean(shown["answer"]),
                        "nearest real example": clean(shown["nearest"]),
                        "of": task,
                        "novelty": f"{shown['novelty']:.2f}",
                    }
    return titled(rows, "dream")


def _shares(answers: Sequence[tuple[Mapping[str, float], float]], count: int = 2) -> str:
    """The commonest answers over several (shares, weight)."""
    total = sum(weight for _, weight in answers)
    pooled = Counter[str]()
    for shares, weight in answers:
        pooled.update({answer: share * weight / total for answer, share in shares.items()})
    return ", ".join(
        f"{clean(answer, 24)} {share:.0%}" for answer, share in pooled.most_common(count)
    )


def runs_in_turn(
    tier: Any, data: Any = "auto", tasks: Sequence[str] = (), **options: Any
) -> list[Trajectory]:
    """`experiment.run`, read as trajectories through its tasks at one rate."""
    runs = experiment.run(tier, data=data, tasks=tasks, **options)
    rates = options.get("learning_rates") or experiment.budget(tier).rates
    taught = experiment.taught(tier, experiment.data(data), tasks)
    return trajectories_of(runs, taught, rates[0])
