"""How long a chapter takes: to read, to run in class, and to run again.

Minutes in class are measured, not added up: `tools/time_classroom.py` runs a chapter from nothing
and notes in `results/times.toml` how long that took.
"""

import json
import math
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from pydantic import BaseModel, ConfigDict, Field

from forgetting import chapters, checking, store
from forgetting.chapters import published
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.site.markup import NOTHING, doc, heads, row

WORDS_A_MINUTE = 200
CORES = 2  # of the laptop that the tier is sized for


class InClass(BaseModel):
    """How long the classroom tier of a chapter took, from nothing to the executed notebook."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(gt=0, allow_inf_nan=False)
    device: str
    day: date

    @property
    def minutes(self) -> int:
        return math.ceil(self.seconds / 60)


def times_file() -> Path:
    """Where times in class are noted."""
    return records.results_dir("classroom") / "times.toml"


def in_class(chapter: str) -> InClass | None:
    """The time that was measured of a chapter; None where nobody has. Raises `BadFile`."""
    path = times_file()
    known = checking.toml(path) if path.exists() else {}
    return checking.read(InClass, path, known[chapter]) if chapter in known else None


def note(chapter: str, measured: InClass) -> Path:
    """Write a chapter's time, in place of the one before. Raises `BadFile`, `NotStored`."""
    path = times_file()
    known = checking.toml(path) if path.exists() else {}
    all_times = {name: checking.read(InClass, path, about) for name, about in known.items()}
    lines = ["# What `tools/time_classroom.py` measured.\n"]
    for name, about in sorted({**all_times, chapter: measured}.items()):
        device = json.dumps(about.device, ensure_ascii=False)  # a JSON text is a TOML text too
        lines.append(
            f"\n[{name}]\nseconds = {about.seconds:.0f}\ndevice = {device}\nday = {about.day}\n"
        )
    store.write_atomically(path, "".join(lines))
    return path


def of_chapters(notebooks: Sequence[Path]) -> str:
    """A table of the chapters in the book's order, each with its minutes."""
    lines = [heads("chapter", "to read, minutes", f"to run on {CORES} cores, minutes")]
    for path in notebooks:
        cells = nbformat.read(path, as_version=4).cells
        heading = next(cell.source for cell in cells if cell.cell_type == "markdown")
        chapter = doc(heading.splitlines()[0].lstrip("# "), f"/notebooks/{path.stem}")
        lines.append(row(chapter, reading(cells), running(path.stem.partition("_")[2])))
    return "\n".join(lines)


def reading(cells: Sequence[NotebookNode]) -> int:
    """Minutes to read a notebook, up to its exercises: these take as long as they take."""
    prose = (c for c in cells if c.cell_type == "markdown" and "generated" not in c.metadata)
    text = "\n".join(cell.source for cell in prose)
    words = re.findall(r"\w+", text.partition("## Exercises")[0])
    return math.ceil(len(words) / WORDS_A_MINUTE)


def running(chapter: str) -> str:
    """Minutes of the published runs of one seed, had the cores nothing else to do.

    Of a chapter that learns tasks in several orders, those are counted that a run takes by itself:
    its tier's methods in the first order.
    """
    runs = published.runs(chapter)
    if not runs:
        return NOTHING
    first = min(run.seed for run in runs)
    of_seed = [run for run in runs if run.seed == first and _runs_by_default(run)]
    used = sum(r.timing["seconds"] * int(r.environment.get("threads", 1)) for r in of_seed)
    return f"{used / 60 / CORES:.0f}"


def _runs_by_default(run: Run) -> bool:
    design = chapters.experiment(run.experiment)
    if run.start or not design.in_turn:
        return True
    arms, order = design.budget(run.tier).arms, ", ".join(design.taught(run.tier, "public"))
    asked = not arms or run.labels["method"] in arms
    return asked and order.startswith(run.labels.get("order", ""))
