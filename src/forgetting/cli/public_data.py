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
from forgetting.cli.shared import counted, from_here, new_table, show

app = typer.Typer(no_args_is_help=True, help="The public data sets: list, fetch and verify them.")


@app.command("list")
def list_data() -> None:
    """Every public data set: its licence, its size, whether it is at hand, which tasks read it.

    Example: `forgetting data list`

    Takes a second.
    """
    from forgetting import tasks

    readers: dict[str, list[str]] = {}
    for task in tasks.names():
        for name in tasks.Task(task).public:
            readers.setdefault(name, []).append(task)
    table = new_table("data set", "size", "at hand", "licence, and the tasks that read it")
    table.columns[0].no_wrap, table.columns[1].justify = True, "right"
    for name in registry.names():
        data = registry.dataset(name)
        read_by = f"\n[dim]read by {', '.join(readers[name])}[/dim]" if name in readers else ""
        table.add_row(
            name,
            filesize.decimal(sum(file.bytes for file in data.files)),
            "[green]yes[/green]" if registry.available(name) else "no",
            escape(data.licence) + read_by,
        )
    show(table)


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
    size = filesize.decimal(sum(file.bytes for file in data.files))
    typer.echo(f"{name}: {len(paths)} files, {size}, hashes as registered; licence: {data.licence}")
    typer.echo(from_here(Path(os.path.commonpath([path.parent for path in paths]))))


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Only this data set.", show_default=False)
    ] = None,
) -> None:
    """Check every file at hand against its registered size and sha256. Downloads nothing.

    A damaged file is named, with what is wrong with it and what to do; the exit code is then 1.

    Example: `forgetting data verify`

    Takes seconds: it reads every file once.
    """
    damaged, missing, sound = [], [], 0
    for each in registry.names() if name is None else [registry.dataset(name).name]:
        problems = registry.damage(each)
        damaged += problems
        if not problems and not registry.available(each):
            missing.append(each)
        sound += not problems and registry.available(each)
    for problem in damaged:
        typer.echo(problem, err=True)
    typer.echo(
        f"{counted(sound, 'data set')} sound, {counted(len(damaged), 'file')} damaged, "
        f"{counted(len(missing), 'data set')} not at hand"
    )
    if missing:
        typer.echo(
            f"not at hand: {', '.join(missing)}; get one with `forgetting data fetch NAME`, or set "
            "FORGETTING_DATA_MIRROR to a folder laid out as owner__repo/path"
        )
    if damaged or (name and missing):
        raise typer.Exit(1)
