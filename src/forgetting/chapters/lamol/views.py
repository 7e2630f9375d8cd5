"""What only the chapter on sequences draws: scores along an order, dreams, what was spent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters import published
from forgetting.chapters.lamol.experiment import experiment
from forgetting.evidence import trajectories as paths
from forgetting.evidence.effects import lone_effect, paired_effect
from forgetting.evidence.intervals import Effect
from forgetting.evidence.papers import Table
from forgetting.evidence.records import Run
from forgetting.evidence.trajectories import Trajectory, dream_reports, in_one_order, single_scores
from forgetting.probes import baselines
from forgetting.views import theme
from forgetting.views.figures import floors
from forgetting.views.tables import clean, measured, titled
from forgetting.views.theme import PAGE_WIDTH, sign, style
from forgetting.wording import with_bounds

Z95 = 1.96  # standard errors on either side of a mean in its 95 % interval
PLAIN = "fine-tune"  # the arm that others are compared with
REVIEWS = "sst.em", f"sst.{baselines.BALANCED}"
RULES = {baselines.GUESS: ":", baselines.ONE_ANSWER: "-."}
LOOKS = theme.looks(experiment)


def along_orders(stored: Sequence[Trajectory], *, every_order: bool = False) -> Figure:
    """Every task's score along one order of learning, a line a method; a column a task.

    It is the order that most methods went through. With `every_order` the methods that were run in
    several: a row a task, a column an order. The grey line marks where the task is learned. Lines
    are means over seeds with 95 % intervals over items; multitask, which has no order, is the
    dashed line. Grey lines are what a task's score is without reading.
    """
    style()
    sequences = [trajectory for trajectory in stored if len(trajectory.runs) > 2]
    at_once = [trajectory for trajectory in stored if len(trajectory.runs) == 2]
    tasks = in_one_order(sequences)[0].tasks
    orders = list(dict.fromkeys([tasks, *(trajectory.tasks for trajectory in sequences)]))
    if every_order:
        several = {trajectory.method for trajectory in sequences if trajectory.tasks != tasks}
        sequences = [t for t in sequences if t.method in several] or sequences
    orders = orders if every_order else orders[:1]
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
        for method, same in _by_arm(t for t in sequences if t.tasks == order).items():
            scores = np.mean([t.scores()[:, place] for t in same], axis=0)
            errors = np.array([t.errors()[:, place] for t in same])
            half = Z95 * np.sqrt((errors**2).sum(axis=0)) / len(same)
            axis.errorbar(range(len(scores)), scores, half, elinewidth=0.5, **_line(method))
        for floor, value in sequences[0].floors()[sequences[0].tasks.index(task)].items():
            axis.axhline(value, label=floor, color="#888888", linewidth=0.8, linestyle=RULES[floor])
        if at_once:
            level = np.mean([t.scores()[-1, t.tasks.index(task)] for t in at_once])
            name = at_once[0].method
            axis.axhline(level, label=name, color=LOOKS[name].colour, linestyle="--")
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
    by_arm = _by_arm(stored)
    plain = PLAIN if PLAIN in by_arm else next(iter(by_arm))
    seconds = {t.seed: t.training_seconds() for t in by_arm[plain]}
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    for method, same in by_arm.items():
        finals = [trajectory.final() for trajectory in same]
        times = [t.training_seconds() / seconds[t.seed] for t in same if seconds.get(t.seed)]
        spread = float(np.std(finals, ddof=1)) if len(finals) > 1 else 0.0
        look = {"marker": LOOKS[method].marker, "markersize": 6, "linestyle": "none"}
        if times:
            axis.errorbar(np.median(times), np.mean(finals), yerr=spread, **_line(method) | look)
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


def _by_arm(trajectories: Iterable[Trajectory]) -> dict[str, list[Trajectory]]:
    """Trajectories of each arm that has some, in the experiment's order."""
    by_arm = _by_method(trajectories)
    return {name: by_arm[name] for name in LOOKS if name in by_arm}


def _by_method(trajectories: Iterable[Trajectory]) -> dict[str, list[Trajectory]]:
    """Trajectories of each arm, in their own order."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.method, []).append(trajectory)
    return groups


def _line(method: str) -> dict[str, Any]:
    colour = LOOKS[method].colour
    return {"label": method, "color": colour, "marker": "o", "markersize": 3, "linewidth": 1.3}


def orders_table(
    trajectories: Sequence[Trajectory], published: Table | None = None
) -> pd.DataFrame:
    """The mean score at the end, per cent: a row a method, a column an order, then all together.

    An order's cell is the mean over seeds; "all" the mean over orders ± their standard deviation,
    or over seeds and of seeds where there is one order. In the last column alone stand what one
    answer to everything, a task, would end with, and the rows of `published`.
    """
    orders = list(dict.fromkeys(trajectory.order for trajectory in trajectories))
    rows: dict[str, dict[str, str]] = {}
    for method, same in _by_method(trajectories).items():
        finals = {
            order: [100 * t.final() for t in same if t.order == order]
            for order in dict.fromkeys(t.order for t in same)
        }
        means = {order: fmean(values) for order, values in finals.items()}
        replicates = list(means.values()) if len(means) > 1 else next(iter(finals.values()))
        spread = f"\u00a0±\u00a0{stdev(replicates):.1f}" if len(replicates) > 1 else ""
        rows[method] = {
            **{order: f"{means[order]:.1f}" if order in means else "" for order in orders},
            "all": f"{fmean(replicates):.1f}{spread}",
            "runs": str(len(same)),
        }
    alike = [
        of[baselines.ONE_ANSWER] for of in trajectories[0].floors() if baselines.ONE_ANSWER in of
    ]
    if len(alike) == len(trajectories[0].tasks):
        rows[baselines.ONE_ANSWER] = {"all": f"{100 * fmean(alike):.1f}"}
    for name, numbers in (published.rows if published else {}).items():
        rows[f"paper: {name}"] = {"all": f"{numbers[-1]:.1f}"}
    return titled(rows, "mean score").fillna("")


def forgetting_table(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """Every definition of forgetting, by method: means over seeds in one order, per cent."""
    single = single_scores(trajectories, PLAIN)
    sequences = [t for t in in_one_order(trajectories) if len(t.runs) > 2]
    rows = {}
    for method, same in _by_method(sequences).items():
        values = [trajectory.forgetting(single) for trajectory in same]
        rows[method] = {
            name.replace("_", " "): f"{100 * fmean(each[name] for each in values):+.1f}"
            for name in values[0]
        }
    return titled(rows, "%")


def decoding_table(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """The scores at the end, answered greedily and drawn from the 20 likeliest tokens, per cent.

    Means over seeds in one order.
    """
    rows: dict[str, dict[str, str]] = {}
    for method, same in _by_method(in_one_order(trajectories)).items():
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

    A task's score is of its answers; "balanced" counts its labels alike, where it has labels; "told
    apart" is how often the right answer is likelier than another question's. The last rows are what
    each is without reading.
    """
    compared = in_one_order(trajectories)
    last = compared[0].runs[-1]
    columns: dict[str, str] = {}
    for task, score in zip(compared[0].tasks, compared[0].measures(), strict=True):
        columns[score] = f"{task}, score"
        columns[f"{task}.{baselines.BALANCED}"] = f"{task}, balanced"
        columns[f"{task}, told apart.told_apart"] = f"{task}, told apart"
    columns = measured(columns, last)
    rows: dict[str, dict[str, str]] = {
        method: {
            title: f"{100 * fmean(t.runs[-1].mean(measure) for t in same):.0f}"
            for measure, title in columns.items()
        }
        for method, same in _by_method(compared).items()
    }
    known = {title: floors(last, measure) for measure, title in columns.items()}
    for floor in RULES:
        if of_floor := {title: of[floor] for title, of in known.items() if floor in of}:
            rows[floor] = {title: f"{100 * value:.0f}" for title, value in of_floor.items()}
    return titled(rows, "%").fillna("")


def quoted() -> dict[str, Any]:
    """For prose: what LAMOL's lead over fine-tuning on reviews is made of, in one order.

    With intervals: the lead in accuracy and in balanced accuracy, and how far in the latter either
    lies from one answer to everything, whose share of the lead is `form`. Without gold labels at
    hand the lead in accuracy alone is known.
    """
    ends: dict[str, list[Run]] = {"LAMOL": [], PLAIN: []}
    for trajectory in in_one_order(published.sequences(experiment.name)):
        ends.get(trajectory.method, []).append(trajectory.runs[-1])
    ours, plain = ends.values()
    if not ours or not plain:
        return {}
    accuracy, balanced = REVIEWS
    alike = floors(ours[0], balanced).get(baselines.ONE_ANSWER)
    told = dict.fromkeys(("balanced", "ours", "plain", "form"), "*unknown without the labels*")
    if alike is not None:
        lead, below = paired_effect(ours, plain, [balanced]), lone_effect(plain, [balanced])
        told = {
            "balanced": _told(lead),
            "ours": _told(lone_effect(ours, [balanced]), alike),
            "plain": _told(below, alike),
            "form": f"{100 * (alike - below.mean) / lead.mean:.0f} %",
        }
    return {"reviews": {"lead": _told(paired_effect(ours, plain, [accuracy]))} | told}


def _told(effect: Effect, beside: float = 0.0) -> str:
    """How an effect lies beside a number: "+0.12 (−0.10 to +0.31)"."""
    mean, low, high = with_bounds(*(x - beside for x in (effect.mean, effect.low, effect.high)))
    return f"{mean} ({low} to {high})"


def dreams_table(trajectories: Sequence[Trajectory], method: str) -> pd.DataFrame:
    """What a method's dreams were worth, a row for each task and generation of its dreams.

    The first generation is dreamt just after the task was learned, the second when another task,
    rehearsed with the first, was learned after it. Orders and seeds are pooled; "written" and
    "valid" are of all dreams of that place, whatever they resemble.
    """
    reports: dict[tuple[str, int], dict[str, tuple[Any, Any]]] = {}  # by record
    for trajectory in (t for t in trajectories if t.method == method):
        for count, record in enumerate(trajectory.runs[1:]):
            for report in dream_reports(record):
                for name, about in report["gallery"].items():
                    learned = trajectory.names.index(name)
                    place = trajectory.tasks[learned], count - learned
                    reports.setdefault(place, {})[record.key] = report, about
    rows = {
        f"{task}, generation {generation}": _of_dreams(list(of_place.values()))
        for (task, generation), of_place in sorted(reports.items())
    }
    return titled(rows, "dreams of")


def _of_dreams(reports: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """One row of `dreams_table`: several draws, each dream with equal weight."""
    written, valid = (sum(report[name] for report, _ in reports) for name in ("dreams", "valid"))
    alike = [about for _, about in reports if about["dreams"]]
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
        "real answers": _shares([(about["real answers"], 1) for _, about in reports]),
    }


def gallery_table(trajectories: Sequence[Trajectory], method: str) -> pd.DataFrame:
    """Dreams of a method's first trajectory beside the real examples that they resemble most."""
    first = next((t.runs[1:] for t in trajectories if t.method == method), ())
    rows = {
        clean(shown["dream"]): {
            "it answers": clean(shown["answer"]),
            "nearest real example": clean(shown["nearest"]),
            "of": task,
            "novelty": f"{shown['novelty']:.2f}",
        }
        for record in first
        for report in dream_reports(record)
        for task, about in report["gallery"].items()
        for shown in about.get("shown", ())
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
    return paths.trajectories(runs, taught, rates[0])
