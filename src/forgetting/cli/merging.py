"""The command that merges models in folders."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from forgetting.cli.shared import from_here, new_table, show
from forgetting.wording import number, thousands

app = typer.Typer()


@app.command(no_args_is_help=True)
def merge(
    recipe: Annotated[Path, typer.Argument(help="A YAML file: what is merged, and how.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the merged model is put.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace the model in FOLDER.")] = False,
) -> None:
    """Merge models of one architecture: a base, and what was tuned from it.

    A recipe names a method, its parameters, and models: folders with safetensors weights, adapters
    of PEFT on the base, or models of the book. Recipes of mergekit are read too.

        method: TIES
        base: ./base
        models: [./chat, {path: ./domain, weight: 0.5}]
        parameters: {density: 0.2}
        tokenizer: ./chat

    Tensors are read, merged in float32 and written one after another. Nothing is half written: the
    folder appears when it is complete, with a merge.yaml that makes it again.

    Example: `forgetting merge recipe.yaml --out merged`

    Takes a few seconds for each GB of weights.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left
    try:
        with Console(stderr=True).status("merging …"):
            from forgetting.engine.merge_files import merge_files

            merged = merge_files(recipe, out, force=force)
    finally:
        signal.signal(signal.SIGTERM, before)
    for warning in merged.warnings:
        typer.secho("warning: ", fg="yellow", nl=False, err=True)
        typer.echo(" ".join(warning.split()), err=True)
    _show_operands(merged)
    for what, which in merged.beside.items():
        typer.echo(f"{what}: {which}")
    typer.echo(f"{thousands(merged.parameters)} weights in {merged.seconds:.1f} s")
    typer.echo(from_here(merged.folder))


def _show_operands(merged: Any) -> None:
    columns = ["coefficient", "δ in the merge", "‖δ‖/‖θ‖"]
    table = new_table("model", *columns, right=columns)
    factors = merged.coefficients or ["varies"] * len(merged.operands)
    for place, name in enumerate(merged.operands):
        factor = factors[place] if isinstance(factors[place], str) else number(factors[place])
        share, moved = "–", "–"
        if place:
            share, moved = number(merged.shares[place - 1]), f"{merged.moved[place]:.2%}"
        table.add_row(escape(name), factor, share, moved)
    if merged.coefficients:
        table.add_row("sum", number(sum(merged.coefficients)), "", "")
    show(table)
