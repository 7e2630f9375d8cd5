"""What only the chapter on ears draws: hearing against obeying, the adapter turned down, a clip."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import BytesIO
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import soundfile
from IPython.display import HTML
from matplotlib.figure import Figure

from forgetting.chapters import published
from forgetting.chapters.ears.experiment import SCALES, experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.tasks import Task
from forgetting.tasks.synthesis import RATE
from forgetting.views import tables, theme
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

LOOKS = theme.arm_looks(experiment)
START = "ears, nothing taught"
UNALIGNED = "adapter and connector, never aligned"
TAUGHT = (
    "template targets",
    "template targets ÷5",
    "connector alone",
    "own words",
    "with text",
    "adapter and connector",
    UNALIGNED,
)
COLUMNS = {
    "about recordings.heard": "heard, these voices",
    "about new voices.heard": "heard, new voices",
    "json heard.begun": "JSON about recordings",
    "json heard.heard": "right when JSON is asked",
    "json in text.begun": "JSON about descriptions",
    "about descriptions.heard": "right about descriptions",
    "chat.nats": "old answers, nats",
    "old text.nats": "old text, nats",
}


def ends(stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm after its last epoch, in the experiment's order."""
    return published.ends(experiment, stored)


def compared(stored: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """The models with which the chapter opens, by name, and the shares that are told of them."""
    of = ends(stored)
    models = {
        START: [records.start_of(stored)],
        "short answers": of.get("template targets", []),
        "its quarter": of.get("scale 0.25", []),
        "own words": of.get("own words", []),
        "with text": of.get("with text", []),
    }
    words = {
        "about recordings.heard": "questions about recordings right",
        "json heard.begun": "JSON begun about recordings",
        "json in text.begun": "JSON begun about descriptions",
    }
    return models, tables.measured(words, models[START][0])


def hearing(stored: Sequence[Run]) -> Figure:
    """What is heard against what is obeyed: a mark an epoch and a line a seed of each training."""
    style()
    start = records.start_of(stored)
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.4), layout="constrained")
    for name, central in ends(stored).items():
        if name not in TAUGHT:
            continue
        colour, marker = LOOKS[name]
        about = central[0].labels
        same = {label: about[label] for label in ("method", "learning_rate")}
        group = records.select(stored, **same)
        for seed in sorted({run.seed for run in group}):
            runs = sorted(records.select(group, seed=seed), key=lambda run: run.labels["epochs"])
            came = [] if name == UNALIGNED else [_place(start)]
            path = [*came, *map(_place, runs)]
            axis.plot(*zip(*path, strict=True), color=colour, linewidth=0.7, alpha=0.6)
            for place in path[len(came) : -1]:
                axis.plot(*place, marker, color=colour, markersize=4)
            label = name if seed == min(run.seed for run in group) else "_seed"
            axis.plot(*path[-1], marker, color=colour, markersize=8, label=label)
    axis.plot(*_place(start), "*", color="black", markersize=11, label=START)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("questions about recordings answered rightly, share")
    axis.set_ylabel("JSON begun when asked, share")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def _place(run: Run) -> tuple[float, float]:
    return run.mean("about recordings.heard"), run.mean("json heard.begun")


def scales(stored: Sequence[Run]) -> Figure:
    """The adapter turned up from nought, where nothing was taught, to its whole; a line a seed."""
    style()
    figure, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 3.6), layout="constrained")
    start, arms = records.start_of(stored), ends(stored)
    shares = {1.0: "template targets", **{scale: f"scale {scale:g}" for scale in SCALES}}
    groups = {share: arms[name] for share, name in sorted(shares.items()) if name in arms}
    look = LOOKS["scale 0.5"]
    drawn: dict[str, dict[str, Callable[[Run], float]]] = {
        "questions about recordings right": {"-": lambda run: run.mean("about recordings.heard")},
        "JSON about recordings": {"-": written, ":": lambda run: run.mean("json heard.begun")},
        "old answers, nats a token": {"-": lambda run: run.mean("chat.nats")},
    }
    for axis, (label, curves) in zip(axes, drawn.items(), strict=True):
        for line, value in curves.items():
            for seed in sorted({run.seed for group in groups.values() for run in group}):
                chosen = {s: records.select(group, seed=seed) for s, group in groups.items()}
                points = {0.0: value(start)} | {s: value(*of) for s, of in chosen.items() if of}
                axis.plot(
                    *zip(*points.items(), strict=True), look.marker, ls=line, color=look.colour
                )
        axis.set_xlabel("share of the adapter")
        axis.set_ylabel(label)
    sign(figure, stored)
    return figure


def written(run: Run) -> float:
    """The share of requests for JSON whose answer opens an object somewhere."""
    said = [sample.answer for sample in run.samples if sample.task == "json heard"]
    return fmean("{" in answer for answer in said) if said else math.nan


def forms_table(stored: Sequence[Run]) -> pd.DataFrame:
    """What became of requests for JSON about recordings, means over seeds.

    Strictly read an answer begins with an object; leniently it has one opened somewhere.
    """
    groups = {START: [records.start_of(stored)], **ends(stored)}
    columns: dict[str, Callable[[Run], float]] = {
        "begins an object": lambda run: run.mean("json heard.begun"),
        "opens one somewhere": written,
        "first value named is right": lambda run: run.mean("json heard.heard"),
        "the same, JSON not asked for": lambda run: run.mean("about recordings.heard"),
    }
    rows = {
        name: {column: f"{fmean(map(value, group)):.2f}" for column, value in columns.items()}
        for name, group in groups.items()
    }
    return titled(rows, "arm")


def quoted() -> dict[str, Any]:
    """For prose: the share of requests whose answer opens an object, by arm, over seeds."""
    stored = published.runs(experiment.name)
    if not stored:
        return {}
    groups = {"start": [records.start_of(stored)], **ends(stored)}
    return {"written": {name: fmean(map(written, group)) for name, group in groups.items()}}


def by_question_table(stored: Sequence[Run]) -> pd.DataFrame:
    """What each question has right at the end, means over seeds.

    First what the text model has right that reads the descriptions, last what anybody has who
    gives every time the answer that is most often right.
    """
    start = records.start_of(stored)
    heard = _documents(start, "about recordings", "listening")
    read = _documents(start, "about descriptions", "listening_read")
    groups = {START: [start], **{n: g for n, g in ends(stored).items() if n in TAUGHT}}
    labels: dict[str, list[str]] = {}
    for document in heard:
        labels.setdefault(document["about"], []).append(document["label"])
    rows = {
        "descriptions, read": {n: _right(start, "about descriptions", read, n) for n in labels},
        **{
            name: {
                n: fmean(_right(run, "about recordings", heard, n) for run in group) for n in labels
            }
            for name, group in groups.items()
        },
        "always the commonest": {n: max(map(of.count, of)) / len(of) for n, of in labels.items()},
    }
    shown = {
        name: {about: f"{share:.2f}" for about, share in row.items()}
        | {"all": f"{fmean(row.values()):.2f}"}
        for name, row in rows.items()
    }
    return titled(shown, "right answers, share")


def _documents(run: Run, role: str, task: str) -> list[dict[str, Any]]:
    return list(Task(task).documents("test")[: run.scores_of(role).n])


def _right(run: Run, role: str, documents: Sequence[Mapping[str, Any]], about: str) -> float:
    scores = run.scores_of(role).items["heard"]
    return fmean(s for s, d in zip(scores, documents, strict=True) if d["about"] == about)


def changes_table(stored: Sequence[Run]) -> pd.DataFrame:
    """All arms: changes from the start."""
    start = records.start_of(stored)
    return tables.changes_table(ends(stored), tables.measured(COLUMNS, start), start)


def clip(stored: Sequence[Run], number: int = 0) -> HTML:
    """A recording to play, what is true of it, and what each arm begins when asked for JSON."""
    document = Task("listening_json").documents("test")[number]
    groups = {START: [records.start_of(stored)], **ends(stored)}
    lines = []
    for name, group in groups.items():
        said = [sample.answer for sample in group[0].samples if sample.task == "json heard"]
        if number < len(said):
            answer = escape(tables.clean(said[number]))
            lines.append(f"<tr><th>{escape(name)}</th><td><code>{answer}</code></td></tr>")
    return HTML(
        f'<figure class="clip"><audio controls src="{_sound(document["sound"])}"></audio>'
        f"<figcaption>{escape(document['description'])} Asked: "
        f"“{escape(document['prompt'])}”</figcaption>"
        f'<table class="dataframe"><tbody>{"".join(lines)}</tbody></table></figure>'
    )


def _sound(wave: Any) -> str:
    """A wave as an address that a page can play: Ogg Vorbis, some 4 kB a second."""
    file = BytesIO()
    soundfile.write(file, wave, RATE, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(file.getvalue()).decode()
