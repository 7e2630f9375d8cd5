"""The command line: chapters to run, claims to check, records to read, a book to build.

What a command prints on stdout is its answer. An expected problem is one line on stderr,
`error: …`, with exit code 1, or 2 where the command line itself is at fault; a traceback is a bug.
Modules that load torch or Jupyter are imported by the commands that need them.
"""

from __future__ import annotations

import typer

from forgetting.cli import (
    chapters,
    evidence,
    exercises,
    hearing,
    merging,
    public_data,
    transcribing,
    upkeep,
)
from forgetting.cli.shared import OneLineErrors

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A first round: forgetting chapters · forgetting run freezing --tier smoke · "
    "forgetting check",
)
for group in (
    chapters,
    exercises,
    evidence,
    merging,
    hearing,
    transcribing,
    upkeep,
):  # in the order of the help
    app.add_typer(group.app)
app.add_typer(public_data.app, name="data")
app.add_typer(chapters.new_app, name="new")


@app.callback()
def about() -> None:
    """Post-Training and Forgetting: run the book's chapters, check its claims, build its pages."""
