"""The explorer: every stored run as a point on a plane of two measures, on one static page.

`page(root)` puts the numbers and the script into one piece of HTML, so that the page needs no
server and asks nobody for anything. What is stored item by item stays in the records: the page
holds means and standard errors, and each point links to its record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from forgetting.evidence import claims, records
from forgetting.evidence.records import Record
from forgetting.experiments import panels
from forgetting.site.markup import render
from forgetting.views import figures

NOT_AVERAGED = ("choice",)  # an option's index has no mean
COLUMNS = ("method", "learning_rate", "epochs", "seed")
DIGITS = 4


def page(root: Path) -> str:
    """The explorer as HTML: `book/explorer/`'s markup, script and the data, in one piece."""
    parts = root / "book" / "explorer"
    host = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return render(
        "explorer.html.jinja",
        markup=(parts / "markup.html").read_text(encoding="utf-8"),
        script=(parts / "explorer.js").read_text(encoding="utf-8"),
        data=data(f"{host['url']}/blob/{host['branch']}"),
    )


def data(repository: str = "") -> dict[str, Any]:
    """What the page draws: the palette, and every study of comparable runs.

    `repository` is the address under which the page links to records; without one it names them.
    """
    comparable = list(studies())
    names = {run["method"] for study in comparable for run in study["runs"]}
    return {
        "repository": repository,
        "methods": {
            name: [figures.COLOURS.get(name, "#555555"), figures.MARKERS.get(name, "o")]
            for name in [*figures.COLOURS, *sorted(names - figures.COLOURS.keys())]
            if name in names
        },
        "studies": comparable,
    }


def studies() -> Iterator[dict[str, Any]]:
    """Each set of comparable records of a published tier, the largest of a chapter first."""
    for chapter in records.chapters():
        for tier in claims.PUBLISHED:
            left = records.stored(chapter, tier)
            count = 0
            while alike := records.comparable(left):
                trained = {record.key for record in alike if record.training}
                left = [record for record in left if record.key not in trained]
                count += 1
                yield study(alike, f"{chapter}-{tier}" + (f"-{count}" if count > 1 else ""))


def study(stored: Sequence[Record], name: str) -> dict[str, Any]:
    """Comparable records as plain numbers: a list of measures, and a run's values in its order.

    A value is [mean, standard error, change, its standard error]: over items, the change paired
    with the untouched model's items; null where something was not measured.
    """
    trained = [record for record in stored if record.training]
    untouched = [record for record in stored if not record.training]
    measures = list(dict.fromkeys(chain.from_iterable(map(_measures, stored))))
    about = claims.summary(trained)
    return {
        "name": name,
        "title": f"{about['tier']} tier, {about['model']}, {about['runs']} runs",
        "chapter": stored[0].chapter,
        "measures": measures,
        "axes": _axes(stored[0].chapter, stored),
        "runs": [
            {
                "key": record.key,
                "method": record.labels["method"],
                "rate": record.labels["learning_rate"],
                "epochs": record.labels.get("epochs"),
                "seed": record.seed,
                "also": _also(record),
                "values": [_value(record, untouched, measure) for measure in measures],
            }
            for record in stored
        ],
    }


def _also(record: Record) -> str:
    """Labels beside those that the page has columns for: a ratio, a rank, a stage."""
    rest = {k: v for k, v in record.labels.items() if k not in COLUMNS}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in rest.items())


def _measures(record: Record) -> list[str]:
    return [
        f"{task}.{metric}"
        for task, scores in record.scores.items()
        for metric in scores.metrics
        if metric not in NOT_AVERAGED
    ]


def _axes(chapter: str, stored: Sequence[Record]) -> list[str]:
    """The measures that a visitor sees first: of what was taught, and the last of another task.

    Both were measured on every run, and are likelihoods where there are any.
    """
    taught = panels.PANELS[chapter].taught if chapter in panels.PANELS else None
    targets = {taught.public, taught.bundled} if taught else set()
    common = set.intersection(*(set(_measures(record)) for record in stored))
    everywhere = [measure for measure in _measures(stored[0]) if measure in common]
    likelihoods = [m for m in everywhere if m.endswith(".nats")] or everywhere
    own = [m for m in likelihoods if re.split("[:.]", m)[0] in targets]  # "task:drift.nats" too
    x = (own or likelihoods)[0]
    others = [m for m in likelihoods if m.rpartition(".")[0] != x.rpartition(".")[0]]
    return [x, (others or everywhere)[-1]]


def _value(record: Record, untouched: Sequence[Record], measure: str) -> list[float | None] | None:
    if measure not in _measures(record):
        return None
    task = measure.rpartition(".")[0]
    alike = [r for r in untouched if measure in _measures(r)]
    alike = [r for r in alike if r.scores[task].n == record.scores[task].n]
    change = paired_change(record, alike[0], measure) if alike else (math.nan, math.nan)
    return [_short(v) for v in (record.mean(measure), record.stderr(measure), *change)]


def paired_change(record: Record, untouched: Record, measure: str) -> tuple[float, float]:
    """record - untouched and its standard error, items paired and weighted by their tokens."""
    after, weights = claims.item_values(record, [measure])
    before, _ = claims.item_values(untouched, [measure])
    share = weights / weights.mean()
    change = float(np.mean((after - before) * share))
    if len(after) < 2:
        return change, math.nan
    spread = (after - before - change) * share
    return change, float(spread.std(ddof=1) / math.sqrt(len(after)))


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
