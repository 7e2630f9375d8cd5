"""Commands for the public data sets: list, fetch and verify them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich import filesize
from rich.console import Console
from rich.markup import escape

from forgetting import registry
from forgetting.cli.shared import dim, from_here, new_table, show, tell
from forgetting.wording import count

app = typer.Typer(no_args_is_help=True, help="The public data sets: list, fetch and verify them.")


@app.command("list")
def list_data() -> None:
    """Every public data set: its licence, its size, whether it is at hand, which tasks read it.

    Example: `forgetting data list`

    Takes a second.
    """
    from forgetting import tasks

    readers: dict[str, list[str]] = {}
    bad: list[Exception] = []
    for task in tasks.names():
        try:
            for name in tasks.Task(task).public:
                readers.setdefault(name, []).append(task)
        except tasks.BadTask as error:
            bad.append(error)
    tell(bad)
    last = "licence, and the tasks that read it"
    table = new_table("data set", "size", "at hand", last, right=["size"])
    table.columns[0].no_wrap = True
    for name in registry.names():
        data = registry.dataset(name)
        at_hand = "[green]yes[/green]" if registry.available(name) else "no"
        read_by = "\n" + dim(f"read by {', '.join(readers[name])}") if name in readers else ""
        table.add_row(name, _size(data), at_hand, escape(data.licence) + read_by)
    show(table)


def _size(data: registry.DataSet) -> str:
    return filesize.decimal(sum(file.bytes for file in data.files))


@app.command(no_args_is_help=True)
def fetch(
    name: Annotated[str, typer.Argument(help="A set's name, as `data list` shows it.")],
) -> None:
    """Fetch a data set from its home on GitHub, unless it is at hand, and check its hashes.

    Example: `forgetting data fetch gsm8k`

    Takes seconds for most sets; `data list` tells the sizes.
    """
    with Console(stderr=True).status(f"fetching {name} …"):
        paths = registry.fetch(name)
    data = registry.dataset(name)
    about = f"{len(paths)} files, {_size(data)}, hashes as registered; licence: {data.licence}"
    typer.echo(f"{name}: {about}")
    typer.echo(from_here(Path(os.path.commonpath([path.parent for path in paths]))))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Only this data set.")] = None,
) -> None:
    """Check every file at hand against its registered size and sha256. Downloads nothing.

    A damaged file is named, with what is wrong with it and what to do; the exit code is then 1.

    Example: `forgetting data verify`

    Takes seconds: it reads every file once.
    """
    names = registry.names() if name is None else [registry.dataset(name).name]
    damage = {dataset: registry.damage(dataset) for dataset in names}
    problems = [problem for of_set in damage.values() for problem in of_set]
    undamaged = [dataset for dataset in names if not damage[dataset]]
    missing = [dataset for dataset in undamaged if not registry.available(dataset)]
    for problem in problems:
        typer.echo(problem, err=True)
    typer.echo(
        f"{count(len(undamaged) - len(missing), 'data set')} sound, "
        f"{count(len(problems), 'file')} damaged, {count(len(missing), 'data set')} not at hand"
    )
    if missing:
        typer.echo(
            f"not at hand: {', '.join(missing)}; get one with `forgetting data fetch NAME`, or set "
            "FORGETTING_DATA_MIRROR to a folder laid out as owner__repo/path"
        )
    if problems or (name and missing):
        raise typer.Exit(1)
