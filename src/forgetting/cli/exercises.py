"""The command for a chapter's exercises: a file to answer them in, and its grades."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from forgetting.cli.shared import find_chapter, from_here, new_table, root_folder, show
from forgetting.experiments.parameters import BadParameter
from forgetting.wording import count

app = typer.Typer()

COLOURS = {"passed": "green", "failed": "red"}


@app.command(no_args_is_help=True)
def grade(
    chapter: Annotated[str, typer.Argument(help="A chapter's name, as `chapters` lists it.")],
    new: Annotated[
        bool, typer.Option("--new", help="Write the file to start from; nothing is tested.")
    ] = False,
) -> None:
    """Test your answers to a chapter's exercises: what passed, what failed and why.

    Answers stand in `answers/CHAPTER.py`. With --new that file is made: a function for each
    exercise, with its text, for you to fill in. The exit code is 1 until all have passed.

    Examples:

    - `forgetting grade freezing --new`

    - `forgetting grade freezing`

    Takes a few seconds.
    """
    from forgetting.site import coursework

    name, notebook = find_chapter(chapter)
    exercises = coursework.exercises_of(notebook)
    path = root_folder() / "answers" / f"{name}.py"
    here = from_here(path)
    if new:
        if path.exists():
            raise BadParameter(f"{here}: is there already; move it away to start again")
        path.parent.mkdir(exist_ok=True)
        path.write_text(coursework.stubs(name, exercises), encoding="utf-8")
        typer.echo(f"{here}: {count(len(exercises), 'exercise')}, none answered yet")
        return
    if not path.exists():
        raise BadParameter(f"{here}: is not there; forgetting grade {name} --new makes it")
    try:
        code = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadParameter(f"{here}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    grades = coursework.grade(name, exercises, code, str(path))
    table = new_table("exercise", "outcome", "why")
    for result in grades:
        colour = COLOURS.get(result.outcome, "dim")
        outcome = f"[{colour}]{result.outcome}[/{colour}]"
        table.add_row(escape(result.exercise.title), outcome, escape(result.why))
    show(table)
    passed = sum(result.outcome == "passed" for result in grades)
    typer.echo(f"{passed} of {count(len(grades), 'exercise')} passed")
    if passed < len(grades):
        raise typer.Exit(1)
