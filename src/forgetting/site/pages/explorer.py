"""The explorer: every stored run as a point on a plane of two measures, on one static page.

Numbers and script are one piece of HTML that needs no server. What is stored item by item stays in
the records: the page holds means and standard errors, and each point links to its record.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from forgetting import chapters, checking
from forgetting.evidence import claims, effects, records
from forgetting.evidence.records import Run
from forgetting.experiments.experiment import Experiment
from forgetting.site.markup import render
from forgetting.views import theme

NOT_AVERAGED = ("choice",)  # an option's index has no mean
COLUMNS = ("method", "learning_rate", "epochs", "seed")
DIGITS = 4


def page(root: Path) -> str:
    """The explorer as HTML: `book/explorer/`'s markup, script and the data, in one piece."""
    parts = root / "book" / "explorer"
    host = checking.yaml(root / "_config.yml")["repository"]
    return render(
        "explorer.html.jinja",
        markup=(parts / "markup.html").read_text(encoding="utf-8"),
        script=(parts / "explorer.js").read_text(encoding="utf-8"),
        data={
            "repository": f"{host['url']}/blob/{host['branch']}",  # the page links to its records
            "studies": list(studies()),
        },
    )


def studies() -> Iterator[dict[str, Any]]:
    """The runs of each design and published tier, the largest of an experiment first."""
    for name in records.experiments():
        for tier in claims.PUBLISHED:
            designs: dict[str, list[Run]] = {}
            for run in records.stored(name, tier):
                if run.diverged:
                    continue
                designs.setdefault(run.design, []).append(run)
            compared = [runs for runs in designs.values() if not all(run.start for run in runs)]
            for count, runs in enumerate(sorted(compared, key=len, reverse=True), 1):
                title = f"{name}-{tier}" + (f"-{count}" if count > 1 else "")
                yield _study(records.comparable(runs), title)


def _study(runs: Sequence[Run], name: str) -> dict[str, Any]:
    """Comparable runs as plain numbers: a list of measures, and a run's values in its order.

    A value is [mean, standard error, change, its standard error]: over items, the change paired
    with the items of the model that the arms start from; null where something was not measured.
    `methods` are colour and marker of each arm.
    """
    chapter = runs[0].experiment
    design = chapters.experiment(chapter) if chapter in chapters.names() else None
    looks = theme.looks(design) if design else theme.Looks()
    start = next((run for run in runs if run.start), None)
    measures = list(dict.fromkeys(chain.from_iterable(map(_measures, runs))))
    about = claims.summary([run for run in runs if not run.start])
    return {
        "name": name,
        "title": f"{about['tier']} tier, {about['model']}, {about['runs']} runs",
        "chapter": chapter,
        "methods": {run.labels["method"]: theme.ORIGIN for run in runs if run.start}
        | {name: looks[name] for name in theme.arms_of(runs, looks)},
        "measures": measures,
        "axes": _axes(design, runs),
        "runs": [
            {
                "key": run.key,
                "method": run.labels["method"],
                "rate": run.labels["learning_rate"],
                "epochs": run.labels.get("epochs"),
                "seed": run.seed,
                "also": _also(run),
                "values": [_value(run, start, measure) for measure in measures],
            }
            for run in runs
        ],
    }


def _also(run: Run) -> str:
    """Labels beside those that the page has columns for: a ratio, a rank, a stage."""
    rest = {k: v for k, v in run.labels.items() if k not in COLUMNS}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in rest.items())


def _measures(run: Run) -> list[str]:
    return [
        f"{role}.{metric}"
        for role, scores in run.scores.items()
        for metric in scores.metrics
        if metric not in NOT_AVERAGED
    ]


def _axes(design: Experiment | None, runs: Sequence[Run]) -> list[str]:
    """The measures that a visitor sees first: of what was taught, and the last of another role.

    Both were measured on every run, and are likelihoods where there are any.
    """
    common = set.intersection(*(set(_measures(run)) for run in runs))
    everywhere = [measure for measure in _measures(runs[0]) if measure in common]
    likelihoods = [m for m in everywhere if m.endswith(".nats")] or everywhere
    taught: set[str] = set()
    if design:
        teaches = design.teaches if isinstance(design.teaches, tuple) else (design.teaches,)
        tasks = {ask.public for ask in teaches}
        taught = {ask.role for ask in design.every_ask() if ask.public in tasks}
    role_of = {measure: measure.rpartition(".")[0] for measure in likelihoods}
    x = next((m for m in likelihoods if role_of[m] in taught), likelihoods[0])
    others = [m for m in likelihoods if role_of[m] != role_of[x]]
    return [x, (others or everywhere)[-1]]


def _value(run: Run, start: Run | None, measure: str) -> list[float | None] | None:
    if measure not in _measures(run):
        return None
    role, change = measure.rpartition(".")[0], (math.nan, math.nan)
    if start and measure in _measures(start) and start.scores[role].n == run.scores[role].n:
        change = paired_change(run, start, measure)
    values = (run.mean(measure), run.stderr(measure), *change)
    return [float(f"{v:.{DIGITS}g}") if math.isfinite(v) else None for v in values]


def paired_change(run: Run, start: Run, measure: str) -> tuple[float, float]:
    """run - start and its standard error, items paired and weighted by their tokens."""
    after, weights, *_ = effects.item_values(run, [measure])
    before = effects.item_values(start, [measure]).values
    share = weights / weights.mean()
    change = float(np.mean((after - before) * share))
    if len(after) < 2:
        return change, math.nan
    spread = (after - before - change) * share
    return change, float(spread.std(ddof=1) / math.sqrt(len(after)))
