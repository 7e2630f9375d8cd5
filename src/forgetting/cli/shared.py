"""What the groups of commands share: how errors end, how chapters are found, how answers look."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from forgetting import registry
from forgetting.engine import processes, scheduler
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter

AT_FAULT = (
    BadParameter,
    registry.UnknownDataSet,
    scheduler.BadScheduler,
    processes.BadProcesses,
)


class OneLineErrors(TyperGroup):
    """Ends an expected error in one line; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, RuntimeError, OSError) as error:
            expected = isinstance(error, OSError)
            expected |= type(error).__module__.startswith("forgetting.")
            if not expected or getattr(error, "errno", None) == errno.EPIPE:
                raise
            typer.secho("error: ", fg="red", nl=False, err=True)
            typer.echo(_one_line(error), err=True)
            raise typer.Exit(2 if isinstance(error, AT_FAULT) else 1) from error


def _one_line(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())


def root_folder() -> Path:
    """The top folder of the book."""
    return records.project_root().resolve()


def find_chapter(root: Path, given: str) -> tuple[str, Path]:
    """A chapter's name and notebook, from its name, its number and name, or its path."""
    known = parameters.chapters(root)
    name = known_name(given, known)
    return name, known[name]


def known_name(given: str, known: Iterable[str]) -> str:
    """The chapter of `known` that is meant. Raises `BadParameter` with the nearest if none is."""
    names = sorted(known)
    stem = Path(given).name.removesuffix(".ipynb")
    for name in (given, stem, stem.lstrip("0123456789").removeprefix("_")):
        if name in names:
            return name
    near = get_close_matches(given, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
    raise BadParameter(f"chapter={given!r}: no such chapter; {hint}")


def stored_records(names: Iterable[str]) -> list[Run]:
    """Every stored run of these chapters, of all tiers."""
    return [run for name in names for tier in records.TIERS for run in records.stored(name, tier)]


def average_time(stored: Sequence[Run]) -> str:
    """How long one of these runs took on average: "45 s" or "1.5 min"."""
    seconds = sum(record.timing["seconds"] for record in stored) / len(stored)
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def date_of(record: Run) -> str:
    return str(record.timing["date"])[:10]


def from_here(path: Path) -> str:
    """The path from here where it lies below this folder, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 record", "1,200 records"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def new_table(*columns: str, **options: Any) -> Table:
    look: dict[str, Any] = {"show_edge": False, "pad_edge": False, "collapse_padding": True}
    table = Table(box=box.SIMPLE_HEAD, **look, **options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(what: Any) -> None:
    Console(highlight=False, soft_wrap=isinstance(what, str)).print(what)
