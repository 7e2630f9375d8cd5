"""Commands for chapters and their runs: what there is to run, a run, a new chapter."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from forgetting.cli import shared
from forgetting.cli.shared import dim, from_here, show
from forgetting.engine import processes, scheduler
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter
from forgetting.wording import count

# Parameters whose values an experiment knows.
NAMING = {"methods", "tasks", "all_orders", "model", "tokens", "examples", "length", "batch"}

app = typer.Typer()
new_app = typer.Typer(no_args_is_help=True, help="Start something of your own: a chapter.")


class NotebookFailed(RuntimeError):
    """A cell of the notebook raised an error, or its kernel died."""


@app.command()
def chapters(
    chapter: Annotated[str | None, typer.Argument(help="Show this chapter's parameters.")] = None,
) -> None:
    """What can be run: every chapter, its stored records, and how long they took.

    With a chapter's name: its parameters, what each may be, and what it is for.

    Example: `forgetting chapters freezing`

    Takes a second, some more with a name.
    """
    if chapter is not None:
        _show_parameters(*shared.find_chapter(chapter))
        return
    root = shared.root_folder()
    notebooks = parameters.chapters(root)
    if not notebooks:
        raise BadParameter(f"{root}: has no notebooks/NN_name.ipynb; set FORGETTING_ROOT")
    table = shared.new_table("chapter", "title", "records", "minutes", "last run")
    for name, notebook in notebooks.items():
        runs = shared.stored_runs([name])
        counts = Counter(run.tier for run in runs)
        table.add_row(
            f"[bold]{escape(name)}[/bold]",
            escape(parameters.title_of(notebook)),
            ", ".join(f"{counts[tier]} {tier}" for tier in records.TIERS if counts[tier]) or "–",
            _minutes([run for run in runs if run.tier == "laptop"]),
            max(map(shared.date_of, runs), default="–"),
        )
    show(table)
    show("[dim]minutes: of all laptop runs, and of one on average[/dim]")


def _minutes(runs: Sequence[Run]) -> str:
    if not runs:
        return "–"
    total = sum(run.timing["seconds"] for run in runs)
    return f"{total / 60:.0f} ({shared.average_time(runs)})"


def _show_parameters(name: str, notebook: Path) -> None:
    from forgetting.chapters.choices import choices

    names = choices(name)
    table = shared.new_table("parameter", "default", "what it does")
    for parameter in parameters.parameters_of(notebook):
        about = escape(parameter.help)
        allowed = ", ".join(names.get(parameter.name, ())) or parameter.allowed
        if allowed:
            each = "each " * parameter.is_list
            one_of = "one of " * bool(parameter.choices or parameter.name in names)
            about += "\n" + dim(f"{each}{one_of}{allowed}")
        default = escape(parameters.typed(parameter.default)) or "–"
        table.add_row(f"[bold]{parameter.name}[/bold]", default, about)
    show(f"[bold]{escape(parameters.title_of(notebook))}[/bold]")
    show(table)
    show(f"[dim]to change one: forgetting run {name} -p name=value; lists as -p name=a,b[/dim]")


Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=VALUE",
        help="Change a parameter; can be repeated. `forgetting chapters NAME` lists them.",
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(
        "--scheduler",
        metavar="WHERE",
        envvar=scheduler.VARIABLE,
        help="Where to compute: local:2 for two processes on this machine, or the "
        "tcp://host:port of a running Dask cluster; in one process if not given.",
        show_default=False,
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        metavar="N",
        envvar=processes.VARIABLE,
        help="Over how many processes of this machine to shard each training (a GPU each, or "
        "the cores between them); 1 if not given.",
        show_default=False,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a page of this run beside the published one: one HTML file, for others.",
    ),
]


@app.command(no_args_is_help=True)
def run(
    chapter: Annotated[str, typer.Argument(help="A chapter's name, as `chapters` lists it.")],
    tier: Annotated[
        str | None,
        typer.Option(help="Which budget to spend; the same as -p tier=…", metavar="TIER"),
    ] = None,
    assignments: Assignments = None,
    where: Scheduler = "",
    shards: Processes = 1,
    report_to: Report = None,
) -> None:
    """Run a chapter: train and measure what is not stored yet, then write the executed notebook.

    Parameters are checked before anything starts. Every finished run is stored at once, so that a
    stopped command goes on where it was when you give it again.

    Examples:

    - `forgetting run freezing --tier smoke`

    - `forgetting run freezing -p seeds=0,1,2 -p learning_rates=3e-4,1e-3`

    - `forgetting run freezing --scheduler local:2`

    - `forgetting run freezing -p seeds=3 --report mine.html`

    Takes seconds to minutes at the smoke tier, up to 10 minutes at classroom, up to an hour at
    laptop on 2 cores; full wants a GPU.
    """
    if report_to:
        _check_report(report_to)
    scheduler.workers(where)
    os.environ[scheduler.VARIABLE] = where  # the notebook's kernel reads it
    os.environ[processes.VARIABLE] = str(shards)
    processes.asked()
    root = shared.root_folder()
    name, notebook = shared.find_chapter(chapter)
    declared = parameters.parameters_of(notebook)
    texts = _texts(tier, assignments or [])
    values = parameters.check(declared, texts, chapter=name)
    settings = {p.name: values.get(p.name, p.default) for p in declared}
    if values.keys() & NAMING:
        from forgetting.chapters import choices

        choices.check(name, settings)
    for parameter in declared:
        if parameter.name in values:
            value = parameters.typed(values[parameter.name])
            default = parameters.typed(parameter.default) or "empty"
            typer.echo(f"{parameter.name} = {value} (default: {default})")
    runs = [run for run in shared.stored_runs([name]) if run.tier == settings.get("tier")]
    if runs:
        stored = count(len(runs), f"{runs[0].tier} run")
        typer.echo(f"{stored} stored already; one took {shared.average_time(runs)}")
    if report_to:
        from forgetting.site import report

        published = report.published(name)
    output = _output(root, name, settings)
    typer.echo(f"running {from_here(notebook)} …")
    try:
        _execute(notebook, output, values, root)
    except KeyboardInterrupt:
        words = [f"-p {shlex.quote(f'{k}={v}')}" for k, v in texts.items()]
        words += [f"--scheduler {where}"] * bool(where) + [f"--processes {shards}"] * (shards > 1)
        words += [f"--report {shlex.quote(str(report_to))}"] * bool(report_to)
        command = " ".join(["forgetting run", name, *words])
        typer.echo(f"\nstopped; finished runs are kept, go on with: {command}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"executed notebook: {from_here(output)}")
    if report_to:
        staged = root / "build" / "source" / "notebooks" / notebook.name
        page = report.page(name, output, settings, published, staged)
        report_to.write_text(page, encoding="utf-8")
        typer.echo(f"report: {from_here(report_to.absolute())}")


def _check_report(path: Path) -> None:
    """Raise `BadParameter` where the report could not be written; nothing is left of the try."""
    if not path.absolute().parent.is_dir():
        raise BadParameter(f"--report {path}: its folder does not exist; make it first")
    before = path.exists()
    try:
        path.open("ab").close()
        if not before:
            path.unlink()
    except OSError as error:
        raise BadParameter(f"--report {path}: {error.strerror}; name another file") from error


def _texts(tier: str | None, assignments: Sequence[str]) -> dict[str, str]:
    """`--tier` and every `-p name=value` as one mapping."""
    texts = {} if tier is None else {"tier": tier}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise BadParameter(f"-p {name or '='}: expected name=value, for instance -p seeds=0,1")
        if name in texts:
            raise BadParameter(
                f"{name}={value!r}: given twice, first as {texts[name]!r}; "
                f"give it once (a list takes several values: -p {name}=one,another)"
            )
        texts[name] = value
    return texts


def _output(root: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """One file a chapter and set of parameters: the same command writes the same file."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return root / "build" / "runs" / f"{name}-{settings.get('tier', 'any')}-{digest}.ipynb"


def _execute(notebook: Path, output: Path, values: Mapping[str, Any], root: Path) -> None:
    """Run the notebook in a kernel of this environment; what it prints appears here as it comes.

    Raises `NotebookFailed` with the error's one line.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ["FORGETTING_ROOT"] = str(root)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel before the user's
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            dict(values),
            kernel_name="python3",
            language="python",
            cwd=str(root),
            progress_bar=False,
            stdout_file=sys.stdout,
            extra_arguments=["--log-level=CRITICAL"],  # what goes wrong is told below, once
        )
    except papermill.PapermillExecutionError as error:
        line = next((line.strip() for line in error.source.splitlines() if line.strip()), "")
        typer.echo(f"stopped in the cell `{line}`; the notebook so far: {from_here(output)}")
        raise NotebookFailed(f"{error.ename}: {error.evalue}".removesuffix(": ")) from error
    except DeadKernelError as error:
        raise NotebookFailed(
            "the kernel died, most often for want of memory; finished runs are kept: "
            "give the same command again, with a smaller model if it dies again"
        ) from error


@new_app.command("chapter", no_args_is_help=True)
def new_chapter(
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and _.")],
    cite: Annotated[
        str, typer.Option(help="The paper it tests, by its key in book/references.bib.")
    ],
) -> None:
    """Write the files of a new chapter: one that runs, to be changed line by line.

    Its notebook, and its folder with design, figures, exercises and a claim. CONTRIBUTING.md says
    what comes next.

    Example: `forgetting new chapter self_output --cite shenfeld2026razor`

    Takes seconds.
    """
    from forgetting.site import skeleton

    for path in skeleton.chapter(shared.root_folder(), name, cite):
        typer.echo(from_here(path))
    typer.echo(f"try it: forgetting run {name} --tier smoke -p data=bundled")
