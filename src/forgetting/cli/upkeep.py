"""Commands that keep the book up: build its pages, free its cache, measure its base scores."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer
from rich import filesize
from rich.console import Console

from forgetting import store
from forgetting.cli.shared import from_here, new_table, root_folder, show
from forgetting.evidence import records
from forgetting.home import home
from forgetting.wording import count

app = typer.Typer()

HOLDINGS = {
    "weights": "checkpoints; trained again when a run needs them",
    "scores": "measurements; made again when a run needs them",
    "damaged": "set aside because a hash was wrong; of no use",
    "cards": "facts of task cards; made again",
    "classifiers": "the toxicity classifier; trained again, in a minute",
    "models": "unpacked foundations; fetched and unpacked again",
    "data": "downloaded data sets; downloaded again",
}


@app.command()
def book(
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict", help="Whether a warning, as of a missing number, fails."
        ),
    ] = True,
) -> None:
    """Build the book's pages from prose, notebooks and stored records. Nothing trains.

    Every number comes from a record; a missing one stops the build. With --no-strict the pages
    appear with their gaps, for a first look.

    Example: `forgetting book`, then open build/html/index.html

    Takes a minute or two, some more where notebooks have to run again.
    """
    from forgetting.site.book import BookError, build

    try:
        with Console(stderr=True).status("building the pages …"):
            pages = build(root_folder(), strict=strict)
    except BookError as error:
        head, *problems = str(error).splitlines()
        if len(problems) > 1:
            more = f"and {len(problems) - 1} more, see build/jupyter-book.log"
            raise BookError(f"{head} {problems[0].strip()} ({more})") from error
        raise
    typer.echo(pages / "index.html")


@app.command()
def clean(
    weights: Annotated[bool, typer.Option("--weights", help="Trained checkpoints.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Measurements.")] = False,
    models: Annotated[bool, typer.Option("--models", help="Unpacked foundations.")] = False,
    data: Annotated[bool, typer.Option("--data", help="Downloaded data sets.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of these.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Free disk space: show what the cache holds, and delete what you name.

    Without options it only shows. Records are never touched, neither the book's nor your own;
    all that is deleted can be had again by training or downloading.

    Example: `forgetting clean --weights`

    Takes seconds. Not while a run is going on: it would lose its current step.
    """
    sizes = _holdings()
    table = new_table("in the cache", "size", "what it is", right=["size"])
    for kind, size in sizes.items():
        table.add_row(kind, filesize.decimal(size), HOLDINGS.get(kind, ""))
    show(table)
    typer.echo(f"in {from_here(home())}")
    named = {"weights": weights, "scores": scores, "models": models, "data": data}
    named["damaged"] = weights or scores
    kinds = [kind for kind in sizes if everything or named.get(kind)]
    if not kinds:
        return
    total = sum(sizes[kind] for kind in kinds)
    if not yes:
        typer.confirm(f"delete {', '.join(kinds)} ({filesize.decimal(total)})?", abort=True)
    store.clean(set(kinds))
    for kind in {"models", "data"}.intersection(kinds):
        shutil.rmtree(home() / kind, ignore_errors=True)
    left = {kind: size for kind, size in _holdings().items() if kind in kinds and size}
    typer.echo(f"freed {filesize.decimal(total - sum(left.values()))}")
    if left:
        where = f"{', '.join(left)} in {from_here(home())}"
        typer.echo(f"could not be deleted: {where}; what a link points to is left alone", err=True)
        raise typer.Exit(1)


def _holdings() -> dict[str, int]:
    """Bytes of each part of the cache."""
    sizes = dict.fromkeys(HOLDINGS, 0)
    for entry in store.entries():
        sizes[entry.kind] = sizes.get(entry.kind, 0) + entry.size
    for kind in ("models", "data"):
        files = (path for path in (home() / kind).rglob("*") if path.is_file())
        sizes[kind] = sum(path.stat().st_size for path in files)
    return sizes


@app.command("measure")
def measure_tasks(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tasks or families; all if none is named.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A packaged model, a hub id or a local folder.")
    ] = "smollm2-135m",
    items: Annotated[int, typer.Option(min=1, help="Test items a task that is only read.")] = 100,
    answers: Annotated[int, typer.Option(min=1, help="Test items a task that is answered.")] = 24,
) -> None:
    """Measure a model that nobody here trained on the book's tasks: the base scores of the cards.

    A family's scores are one record. Tasks whose data are not at hand are named and left out.

    Examples:

    - `forgetting measure`

    - `forgetting measure retention gsm8k_pinned --items 20`

    Takes about half an hour for all tasks on 2 cores, a minute for one.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # a bar a task would drown the line a family
    from forgetting import foundation, tasks
    from forgetting.experiments import study
    from forgetting.experiments.experiment import START
    from forgetting.site.pages import cards

    chosen = [
        tasks.Task(name)
        for name in tasks.named(names or sorted({tasks.Task(n).family for n in tasks.names()}))
    ]
    if missing := sorted({data for task in chosen for data in task.missing()}):
        typer.echo(f"left out, not at hand: {', '.join(missing)}", err=True)
    panels: dict[str, list[tasks.Task]] = {}
    for task in chosen:
        if not task.missing():
            answered = task.config["output_type"] == "generate_until"
            panel = panels.setdefault(task.family, [])
            panel.append(tasks.Task(task.name, answers if answered else items))
    base = study.Cell(
        foundation(model), {"method": START, "learning_rate": 0.0, "seed": 0}, start=True
    )
    tier: records.Tier = "smoke" if model == "tiny" else "laptop"
    table = new_table("task", "items", "score")
    for family, panel in panels.items():
        typer.echo(f"{family}: {count(len(panel), 'task')} …", err=True)
        (record,) = study.measure(cards.CHAPTER, [base], panel, tier, say=lambda line: None)
        for task in panel:
            scores = record.scores[task.name]
            table.add_row(task.name, str(scores.n), cards.main_score(scores))
    show(table)
