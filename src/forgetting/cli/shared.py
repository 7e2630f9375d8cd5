"""What the groups of commands share: how errors end, how chapters are found, how answers look."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from forgetting.engine.processes import BadProcesses
from forgetting.engine.scheduler import BadScheduler
from forgetting.evidence import records
from forgetting.evidence.records import BadRecord, Run
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter
from forgetting.registry import UnknownDataSet
from forgetting.wording import did_you_mean

AT_FAULT = (BadParameter, UnknownDataSet, BadScheduler, BadProcesses)
TOLD: list[str] = []  # what the command that runs has left out


class OneLineErrors(TyperGroup):
    """Ends an expected error in one line; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            TOLD.clear()
            result = super().invoke(ctx)
            if TOLD:
                raise typer.Exit(1)
            return result
        except (ValueError, RuntimeError, OSError) as error:
            expected = isinstance(error, OSError)
            expected |= type(error).__module__.startswith("forgetting.")
            if not expected or getattr(error, "errno", None) == errno.EPIPE:
                raise
            tell([error])
            raise typer.Exit(2 if isinstance(error, AT_FAULT) else 1) from error


def root_folder() -> Path:
    """The top folder of the book."""
    return records.project_root().resolve()


def find_chapter(given: str) -> tuple[str, Path]:
    """A chapter's name and notebook, from its name, its number and name, or its path."""
    notebooks = parameters.chapters(root_folder())
    name = known_name(given, notebooks)
    return name, notebooks[name]


def known_name(given: str, known: Iterable[str]) -> str:
    """The chapter of `known` that is meant. Raises `BadParameter` with the nearest if none is."""
    names = sorted(known)
    stem = Path(given).name.removesuffix(".ipynb")
    for name in (given, stem, stem.lstrip("0123456789").removeprefix("_")):
        if name in names:
            return name
    hint = did_you_mean(given, names, f"there are: {', '.join(names) or 'none'}")
    raise BadParameter(f"chapter={given!r}: no such chapter; {hint}")


def stored_runs(chapters: Iterable[str]) -> list[Run]:
    """Every stored run of these chapters, of all tiers; of damaged files `tell` says which."""
    bad: list[BadRecord] = []
    runs = [
        r for name in chapters for tier in records.TIERS for r in records.stored(name, tier, bad)
    ]
    tell(bad)
    return runs


def tell(bad: Iterable[Exception]) -> None:
    """Say what was left out, a line each; the command goes on, and ends with exit code 1."""
    for line in dict.fromkeys(" ".join(str(error).split()) for error in bad):
        typer.secho("error: ", fg="red", nl=False, err=True)
        typer.echo(line, err=True)
        TOLD.append(line)


def average_time(runs: Sequence[Run]) -> str:
    """How long one of these runs took on average: "45 s" or "1.5 min"."""
    seconds = sum(run.timing["seconds"] for run in runs) / len(runs)
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def date_of(run: Run) -> str:
    return str(run.timing["date"])[:10]


def from_here(path: Path) -> str:
    """The path from here where it lies below this folder, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def dim(text: str) -> str:
    return f"[dim]{escape(text)}[/dim]"


def new_table(*columns: str, right: Sequence[str] = (), leading: int = 0) -> Table:
    """A table of columns, those of numbers aligned to the `right`."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, leading=leading)
    table.collapse_padding = True
    for column in columns:
        justify: Any = "right" if column in right else "left"
        table.add_column(column, overflow="fold", justify=justify)
    return table


def show(what: Any) -> None:
    Console(highlight=False, soft_wrap=isinstance(what, str)).print(what)
