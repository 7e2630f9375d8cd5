"""How long a chapter takes: to read, and to run again."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat

from forgetting.evidence import claims
from forgetting.experiments import budgets, panels
from forgetting.pages.markup import NOTHING, table

WORDS_A_MINUTE = 200
CORES = 2  # of the laptop that the tier is sized for


def of_chapters(notebooks: Sequence[Path]) -> str:
    """A table of the chapters in the book's order, each with its minutes."""
    rows = [(_link(path), _reading(path), _running(path)) for path in notebooks]
    return table(("chapter", "to read, minutes", f"to run on {CORES} cores, minutes"), rows)


def _cells(path: Path) -> list[str]:
    found = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in found if cell.cell_type == "markdown"]


def _link(path: Path) -> str:
    heading = _cells(path)[0].splitlines()[0].lstrip("# ")
    return f"{{doc}}`{heading} </notebooks/{path.stem}>`"


def _reading(path: Path) -> int:
    """Minutes for the text, without the exercises: those take as long as they take."""
    text = "\n".join(_cells(path)).partition("## Exercises")[0]
    return math.ceil(len(re.findall(r"\w+", text)) / WORDS_A_MINUTE)


def _running(path: Path) -> str:
    """Minutes of the published runs of one seed, had the cores nothing else to do.

    Of a chapter that learns tasks in several orders, those are counted that a run takes by itself:
    its tier's methods in the first order.
    """
    chapter = path.stem.partition("_")[2]
    found = claims.best_stored(chapter)
    if not found:
        return NOTHING
    first = [record for record in found if record.seed == min(r.seed for r in found)]
    if any("order" in record.labels for record in first):
        rows = budgets.of(chapter, found[0].tier).rows
        order = ", ".join(panels.sequence(chapter, "public", found[0].tier))
        first = [r for r in first if not rows or r.labels["method"] in ("untouched", *rows)]
        first = [r for r in first if order.startswith(r.labels.get("order", ""))]
    used = sum(r.timing["seconds"] * int(r.environment.get("threads", 1)) for r in first)
    return f"{used / 60 / CORES:.0f}"
