"""What only the chapter on streams draws: along the stream, what it cost elsewhere, asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.chapters import published
from forgetting.chapters.streams.experiment import STREAMS, experiment
from forgetting.evidence import records
from forgetting.evidence.intervals import Effect
from forgetting.evidence.records import Run
from forgetting.probes import asking
from forgetting.views import tables, theme
from forgetting.views.figures import change
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

LOOKS = theme.arm_looks(experiment)
ALONG = ("few-shot", "StreamICL 8", "StreamICL 8, wrong", "LoRA", "REINFORCE")
DRAWS = "REINFORCE"  # its answers are drawn, and its margins are those of its likeliest ones
ASKING = tuple(name for name in ALONG if name != DRAWS)
WORDS = {"topics": "kinds of articles", "codes": "a private code book"}
COLUMNS = {
    "topics.em": "kinds, right",
    "codes.em": "codes, right",
    "old text.nats": "old text, nats",
    "old text.forward_kl": "drift, text",
    "old answers.nats": "old answers, nats",
    "formats.followed": "formats kept",
}


def of_stream(stored: Sequence[Run], stream: str) -> dict[str, list[Run]]:
    """Each arm's runs on a stream, an order each, in the experiment's order."""
    groups = published.ends(experiment, stored)
    of = {name: records.select(group, stream=stream) for name, group in groups.items()}
    return {name: group for name, group in of.items() if group}


def compared(stored: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """The models with which the chapter opens, by name, and the shares that are told of them."""
    of = of_stream(stored, "topics")
    models = {"no memory": [records.start_of(stored)], "eight examples": of.get("few-shot", [])}
    models |= {"own right answers": of.get("StreamICL 8", []), "in the weights": of.get("LoRA", [])}
    words = {
        "topics.em": "kinds named rightly",
        "topics.sure": "share given to the answer",
        "formats.followed": "formats kept",
    }
    return models, tables.measured(words, models["no memory"][0])


def in_place(run: Run, role: str, metric: str) -> np.ndarray:
    """A metric's values in the order in which the stream asked."""
    items = run.scores_of(role).items
    return np.asarray(items[metric])[np.argsort(items["place"])]


def so_far(values: np.ndarray) -> np.ndarray:
    """The mean of all values up to each."""
    return np.cumsum(values) / np.arange(1, len(values) + 1)


def _panels(stored: Sequence[Run], draw: Callable[[Axes, str], None], height: float) -> Figure:
    """A panel a stream, one legend for both."""
    style()
    size = (PAGE_WIDTH, height)
    figure, axes = plt.subplots(1, len(STREAMS), figsize=size, layout="constrained")
    named: dict[str, Any] = {}
    for axis, stream in zip(axes, STREAMS, strict=True):
        draw(axis, stream)
        axis.set_title(WORDS[stream])
        handles, names = axis.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    where: Any = {"loc": "outside lower center", "ncols": 4, "frameon": False, "fontsize": 8}
    figure.legend(named.values(), named.keys(), **where)
    sign(figure, stored)
    return figure


def _lines(stored: Sequence[Run], metric: str, of: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Draws an order thinly, and the mean over orders with a mark at its end."""

    def draw(axis: Axes, stream: str) -> None:
        groups = of_stream(stored, stream)
        for name in [name for name in ALONG if name in groups]:
            look = LOOKS[name]
            curves = [of(in_place(run, stream, metric)) for run in groups[name]]
            places = np.arange(1, len(curves[0]) + 1)
            for curve in curves:
                axis.plot(
                    places, curve, color=look.colour, linewidth=0.6, alpha=0.5, label="_order"
                )
            mean = np.mean(curves, axis=0)
            axis.plot(places, mean, color=look.colour, linewidth=2, label=name)
            axis.plot(len(mean), mean[-1], look.marker, color=look.colour, label="_end")
        axis.set_xlabel("questions asked")

    return draw


def along(stored: Sequence[Run]) -> Figure:
    """Right answers so far, along each stream: an order a thin line, their mean a thick one."""
    start = records.start_of(stored)
    lines = _lines(stored, "em", so_far)

    def draw(axis: Axes, stream: str) -> None:
        lines(axis, stream)
        axis.axhline(start.mean(f"{stream}.em"), color="black", linestyle=":", label="no memory")
        axis.set_ylabel("right so far, share")
        axis.set_ylim(0, 1)

    return _panels(stored, draw, 4.0)


def remembered(stored: Sequence[Run]) -> Figure:
    """How many remembered answers stood in the prompt, along each stream."""
    lines = _lines(stored, "shots", lambda values: values)

    def draw(axis: Axes, stream: str) -> None:
        lines(axis, stream)
        axis.set_ylabel("answers in the prompt")

    return _panels(stored, draw, 3.4)


def plane(stored: Sequence[Run]) -> Figure:
    """Gained on the stream against lost elsewhere: old text after it, in nats a token.

    What only remembers lies on the line: its weights are the start's.
    """
    start = records.start_of(stored)

    def draw(axis: Axes, stream: str) -> None:
        for name, group in of_stream(stored, stream).items():
            gain = change(group, start, f"{stream}.em")
            lost = change(group, start, "old text.nats")
            colour, marker = LOOKS[name]
            axis.errorbar(
                *(gain.mean, lost.mean),
                fmt=marker,
                color=colour,
                label=name,
                elinewidth=0.7,
                xerr=_bar(gain),
                yerr=_bar(lost),
            )
        axis.axhline(0, color="#888888", linewidth=0.8)
        axis.plot(0, 0, "*", color="black", markersize=11, zorder=5, label="no memory")
        axis.set_xlabel("gained: right answers on the stream")
        axis.set_ylabel("lost: old text, nats a token")

    return _panels(stored, draw, 4.4)


def _bar(effect: Effect) -> list[list[float]]:
    """An interval as the ends of a bar; none where nothing is known of it."""
    if not np.isfinite([effect.low, effect.high]).all():
        return [[0.0], [0.0]]
    return [[effect.mean - effect.low], [effect.high - effect.mean]]


def asked_for_help(stored: Sequence[Run]) -> Figure:
    """Right answers over the share of questions asked for, by margin; dotted: asked at random."""
    start = records.start_of(stored)

    def draw(axis: Axes, stream: str) -> None:
        groups = {"no memory": [start]} | of_stream(stored, stream)
        for name in ("no memory", *ASKING):
            if name not in groups:
                continue
            colour = "black" if name == "no memory" else LOOKS[name].colour
            curves = [asking.curve(*_margins(run, stream)) for run in groups[name]]
            mean = np.mean([curve[1] for curve in curves], axis=0)
            axis.plot(curves[0][0], mean, color=colour, label=name)
            axis.plot([0, 1], [mean[0], 1], ":", color=colour, linewidth=0.8, label="_random")
        axis.set_xlabel("burden: share of questions asked")
        axis.set_ylabel("right answers, share")

    return _panels(stored, draw, 4.0)


def _margins(run: Run, role: str) -> tuple[list[float], list[float]]:
    items = run.scores_of(role).items
    return items["margin"], [1 - wrong for wrong in items["wrong"]]


def asking_table(stored: Sequence[Run], stream: str, cost: float = 0.5) -> pd.DataFrame:
    """What asking by the margin is worth, of each arm; means over orders.

    `sure` is the share that its answers had among all that there are, before any bit was told.
    A model asks below the margin at which the start asks for every other question.
    """
    start = records.start_of(stored)
    threshold = float(np.median(start.scores_of(stream).items["margin"]))
    rows = {}
    groups = {"no memory": [start]} | of_stream(stored, stream)
    for name, group in groups.items():
        if name == DRAWS:
            continue
        margins = [_margins(run, stream) for run in group]
        rows[name] = {
            "right": f"{fmean(run.mean(f'{stream}.em') for run in group):.2f}",
            "sure": f"{fmean(run.mean(f'{stream}.sure') for run in group):.2f}",
            "area": f"{fmean(asking.helped(*both).mean() for both in margins):.3f}",
            "above random asking": f"{fmean(run.mean(f'{stream}.lead') for run in group):+.3f}",
            "asks": f"{fmean(asking.asks_below(m, threshold) for m, _ in margins):.2f}",
            f"worth at a cost of {cost:g}": (
                f"{fmean(asking.worth(*both, cost) for both in margins):.2f}"
            ),
        }
    return titled(rows, WORDS[stream])


def changes_table(stored: Sequence[Run], stream: str) -> pd.DataFrame:
    """All arms of a stream: changes from the start."""
    start = records.start_of(stored)
    return tables.changes_table(of_stream(stored, stream), tables.measured(COLUMNS, start), start)


def live_table(stored: Sequence[Run], stream: str, arm: str, count: int = 12) -> pd.DataFrame:
    """The first questions of a stream as they came: what was asked, said, and right.

    Of an arm's first order; where the arm was not run, of the first one that was.
    """
    of = of_stream(stored, stream)
    runs = of.get(arm) or [run for group in of.values() for run in group]
    if not runs:
        return titled({}, "place")
    run = runs[0]
    items = run.scores_of(stream).items
    said = [sample for sample in run.samples if sample.task == stream]
    rows: dict[str, dict[str, Any]] = {
        str(place + 1): {
            "question": said[number].prompt,
            "answer": said[number].answer,
            "right": "yes" if items["wrong"][number] < 1 else "no",
            "remembered": int(items["shots"][number]),
        }
        for place, number in enumerate(np.argsort(items["place"])[:count])
        if said
    }
    return titled(rows, "place")
