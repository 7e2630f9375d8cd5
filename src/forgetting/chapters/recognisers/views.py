"""What only the chapter on recognisers draws: rooms, steps, and errors along a stream."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters.recognisers.experiment import HEARD, ROOMS, arms, experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views import tables, theme
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

LOOKS = theme.looks(experiment)
EPISODES = ("recogniser", "SUTA, 1 step", "SUTA, 5 steps", "SUTA", "SDPL", "SDPL, over time")
ABLATED = ("SUTA", "entropy alone", "confusion alone", "temperature 1", "norms alone")
ALONG = ("recogniser", "SUTA, 5 steps", "kept, 1 step", "kept, 5 steps", "DSUTA")
COLUMNS = {
    "quiet.wer": "quiet, words",
    "babble.wer": "babble, words",
    "white.wer": "white noise, words",
    "stream.wer": "five rooms, words",
    "stream.cer": "five rooms, letters",
}
WINDOW = 10  # sounds of a stream that a point of a curve is the mean over


def of_arms(stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm's runs, in the experiment's order."""
    groups = {name: records.select(stored, method=name) for name in arms}
    return {name: runs for name, runs in groups.items() if runs}


def plain(stored: Sequence[Run]) -> Run:
    """The recogniser as it is: what adapting is compared with."""
    return of_arms(stored)["recogniser"][0]


def compared(stored: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """The models with which the chapter opens, by name, and the shares that are told of them."""
    of = of_arms(stored)
    names = {"as it is": "recogniser", "each utterance": "SUTA, 5 steps", "kept": "kept, 5 steps"}
    models = {title: of[name] for title, name in names.items() if name in of}
    words = {f"{role}.wer": f"words wrong, {role}" for role in (*HEARD, "stream")}
    return models, tables.measured(words, plain(stored))


def rooms(stored: Sequence[Run]) -> Figure:
    """Words wrong in each room: a mark a seed, by how an utterance is adapted to."""
    style()
    figure, axes = plt.subplots(
        1, len(HEARD), figsize=(PAGE_WIDTH, 3.2), layout="constrained", sharey=True
    )
    groups = of_arms(stored)
    shown = [name for name in dict.fromkeys((*EPISODES, *ABLATED)) if name in groups]
    for axis, role in zip(axes, HEARD, strict=True):
        for place, name in enumerate(reversed(shown)):
            values = [run.mean(f"{role}.wer") for run in groups[name]]
            colour, marker = LOOKS[name]
            axis.plot(values, [place] * len(values), marker, color=colour, linestyle="none")
            axis.plot([fmean(values)] * 2, [place - 0.3, place + 0.3], color=colour)
        axis.set_yticks(range(len(shown)), list(reversed(shown)))
        axis.set_title(HEARD[role])
        axis.set_xlabel("words wrong, share")
    sign(figure, stored)
    return figure


def in_place(run: Run) -> np.ndarray:
    """Errors of the stream's sounds, words over the mean number of words, in their order."""
    items = run.scores_of("stream").items
    return np.asarray(items["wer"])[np.argsort(items["place"])]


def along(stored: Sequence[Run]) -> Figure:
    """Words wrong along the five rooms: a seed a thin line, the mean a thick one."""
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
    groups = of_arms(stored)
    for name in [name for name in ALONG if name in groups]:
        curves = np.array([smooth(in_place(run)) for run in groups[name]])
        places = np.arange(1, curves.shape[1] + 1)
        colour = LOOKS[name].colour
        for curve in curves:
            axis.plot(places, curve, color=colour, linewidth=0.6, alpha=0.5, label="_seed")
        axis.plot(places, curves.mean(0), color=colour, linewidth=2, label=name)
    count = len(in_place(plain(stored)))
    for number, room in enumerate(ROOMS):
        start = number * max(1, count // len(ROOMS))
        axis.axvline(start + 0.5, color="#BBBBBB", linewidth=0.7, zorder=0)
        axis.annotate(room, (start + 1, 1.0), xycoords=("data", "axes fraction"), fontsize=7)
    axis.set_xlabel("sounds heard")
    axis.set_ylabel(f"words wrong, last {WINDOW}")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def smooth(values: np.ndarray) -> np.ndarray:
    """The mean of the last `WINDOW` values up to each."""
    return np.array([values[max(0, at - WINDOW) : at].mean() for at in range(1, len(values) + 1)])


def changes(stored: Sequence[Run]) -> pd.DataFrame:
    """All arms: changes from the recogniser as it is."""
    start = plain(stored)
    groups = {name: runs for name, runs in of_arms(stored).items() if name != "recogniser"}
    return tables.changes_table(groups, tables.measured(COLUMNS, start), start)


def said(stored: Sequence[Run], role: str, count: int = 4) -> pd.DataFrame:
    """What the first sounds of a role are written down as, word for word."""
    groups = of_arms(stored)
    names = [name for name in ("recogniser", "SUTA", "SUTA, 5 steps", "SDPL") if name in groups]
    written = {
        name: [each for each in groups[name][0].samples if each.task == role][:count]
        for name in names
    }
    rows: dict[str, dict[str, Any]] = {
        sample.prompt: {name: written[name][number].answer for name in names}
        for number, sample in enumerate(written[names[0]])
    }
    return titled(rows, "what was said")
