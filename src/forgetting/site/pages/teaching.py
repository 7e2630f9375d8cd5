"""Teach with it: a session a chapter, with what to read, to run, to bet on and to hand in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

from forgetting import chapters
from forgetting.evidence.claims import Verdict
from forgetting.experiments import parameters
from forgetting.site import coursework, times
from forgetting.site.markup import render

BETS = 3  # claims that students bet on before they see the verdict


def page(notebooks: Sequence[Path], board: Sequence[Verdict]) -> str:
    """The lesson plan of the chapters in `notebooks`, in their order."""
    return render("teach.md.jinja", sessions=list(_sessions(notebooks, board)), cores=times.CORES)


def _sessions(notebooks: Sequence[Path], board: Sequence[Verdict]) -> Iterator[dict[str, Any]]:
    for path in notebooks:
        chapter = path.stem.partition("_")[2]
        tested = [v for v in board if v.chapter == chapter and v.verdict != "not tested"]
        budgets = chapters.experiment(chapter).budgets if chapter in chapters.names() else {}
        yield {
            "chapter": chapter,
            "title": parameters.title_of(path),
            "page": f"/notebooks/{path.stem}",
            "reading": times.reading(nbformat.read(path, as_version=4).cells),
            "running": times.running(chapter),
            "in_class": budgets.get("classroom"),
            "exercises": coursework.exercises_of(path),
            "bets": sorted(tested, key=lambda verdict: not verdict.decided)[:BETS],
        }
