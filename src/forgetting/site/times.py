"""How long a chapter takes: to read, and to run again."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat

from forgetting.evidence import claims
from forgetting.experiments import budgets, panels
from forgetting.site.markup import NOTHING, doc, heads, row

WORDS_A_MINUTE = 200
CORES = 2  # of the laptop that the tier is sized for


def of_chapters(notebooks: Sequence[Path]) -> str:
    """A table of the chapters in the book's order, each with its minutes."""
    lines = [heads("chapter", "to read, minutes", f"to run on {CORES} cores, minutes")]
    for path in notebooks:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        chapter = doc(text.splitlines()[0].lstrip("# "), f"/notebooks/{path.stem}")
        lines.append(row(chapter, _reading(text), _running(path.stem.partition("_")[2])))
    return "\n".join(lines)


def _reading(text: str) -> int:
    """Minutes for the text, without the exercises: those take as long as they take."""
    return math.ceil(len(re.findall(r"\w+", text.partition("## Exercises")[0])) / WORDS_A_MINUTE)


def _running(chapter: str) -> str:
    """Minutes of the published runs of one seed, had the cores nothing else to do.

    Of a chapter that learns tasks in several orders, those are counted that a run takes by itself:
    its tier's methods in the first order.
    """
    stored = claims.best_stored(chapter)
    if not stored:
        return NOTHING
    first = [record for record in stored if record.seed == min(r.seed for r in stored)]
    if any("order" in record.labels for record in first):
        rows = budgets.of(chapter, stored[0].tier).rows
        order = ", ".join(panels.sequence(chapter, "public", stored[0].tier))
        first = [r for r in first if not rows or r.labels["method"] in ("untouched", *rows)]
        first = [r for r in first if order.startswith(r.labels.get("order", ""))]
    used = sum(r.timing["seconds"] * int(r.environment.get("threads", 1)) for r in first)
    return f"{used / 60 / CORES:.0f}"
