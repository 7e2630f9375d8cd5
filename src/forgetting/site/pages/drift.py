"""Does drift predict a loss? How far models moved, against what they lost, over all runs."""

from collections.abc import Iterator
from typing import Any

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence.effects import OutOfRange, correlation_effect
from forgetting.evidence.records import Run
from forgetting.site.markup import Contents, render

DRIFT = "forward_kl"
TINY = 1e-9
LOST = {  # by metric, in words; all of them fall where something is lost
    "acc": "accuracy",
    "gold_margin": "lead of the right answer",
    "followed": "formats kept",
    "json": "JSON kept",
}


def page(contents: Contents) -> str:
    """The page: a row for each kind of drift and each thing that may be lost, by chapter."""
    rows = [row for chapter in chapters.names() for row in _rows(chapter)]
    return render("drift.md.jinja", rows=rows, link=contents.link)


def _rows(chapter: str) -> Iterator[dict[str, Any]]:
    runs = [run for run in published.runs(chapter) if not run.start]
    asked = {role: scores.metrics for run in runs for role, scores in run.scores.items()}
    drifts = [role for role in asked if DRIFT in asked[role] and role.startswith("old ")]
    for drift in drifts:
        for role, metrics in asked.items():
            for metric in metrics:
                if role.startswith("margin ") and metric == "acc":
                    continue  # a margin is no question with a right answer
                if metric in LOST and (row := _row(runs, f"{drift}.{DRIFT}", f"{role}.{metric}")):
                    words = f"{LOST[metric]}: {role}"
                    yield row | {"chapter": chapter, "drift": drift, "lost": words}


def _row(runs: list[Run], drift: str, lost: str) -> dict[str, Any] | None:
    try:
        effect = correlation_effect(runs, drift, lost)
    except OutOfRange:
        return None
    predicts = "loss" if effect.high < -TINY else "gain" if effect.low > TINY else ""
    return {"r": effect, "predicts": predicts}
