"""The command line: chapters to run, claims to check, records to read, a book to build.

What a command prints on stdout is its answer. An expected problem is one line on stderr,
`error: …`, with exit code 1, or 2 where the command line itself is at fault; a traceback is a bug.
Modules that load torch or Jupyter are imported by the commands that need them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box, filesize
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree
from typer.core import TyperGroup

from forgetting import parameters, processes, records, registry, scheduler, store
from forgetting.parameters import BadParameter
from forgetting.records import Record

AT_FAULT = (
    BadParameter,
    registry.UnknownDataSet,
    scheduler.BadScheduler,
    processes.BadProcesses,
)
COLOURS = {"holds": "green", "contradicted": "red", "undecided": "yellow", "not run": "dim"}
HOLDINGS = {
    "weights": "checkpoints; trained again when a run needs them",
    "scores": "measurements; made again when a run needs them",
    "damaged": "set aside because a hash was wrong; of no use",
    "cards": "facts of task cards; made again",
    "digests": "hashes of generated tasks; made again",
    "classifiers": "the toxicity classifier; trained again, in a minute",
    "models": "unpacked foundations; fetched and unpacked again",
    "data": "downloaded data sets; downloaded again",
}
SHORT_KEY = 8  # digits of a key in a table; enough to name one record of thousands


class NotebookFailed(RuntimeError):
    """A cell of the notebook raised an error, or its kernel died."""


class OneLineErrors(TyperGroup):
    """Ends an expected error in one line; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, RuntimeError, OSError) as error:
            expected = isinstance(error, OSError | NotebookFailed)
            expected |= type(error).__module__.startswith("forgetting.")
            if not expected or getattr(error, "errno", None) == errno.EPIPE:
                raise
            typer.secho("error: ", fg="red", nl=False, err=True)
            typer.echo(_one_line(error), err=True)
            raise typer.Exit(2 if isinstance(error, AT_FAULT) else 1) from error


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
data_app = typer.Typer(
    no_args_is_help=True, help="The public data sets: list, fetch and verify them."
)
app.add_typer(data_app, name="data")
new_app = typer.Typer(no_args_is_help=True, help="Start something of your own: a chapter.")
app.add_typer(new_app, name="new")


@app.callback()
def about() -> None:
    """Post-Training and Forgetting: run the book's chapters, check its claims, build its pages."""


# -- chapters and runs -------------------------------------------------------------------------


@app.command()
def chapters(
    chapter: Annotated[
        str | None, typer.Argument(help="Show this chapter's parameters.", show_default=False)
    ] = None,
) -> None:
    """What can be run: every chapter, its stored records, and how long they took.

    With a chapter's name: its parameters, what each may be, and what it is for.

    Example: `forgetting chapters freezing`

    Takes a second.
    """
    root = _root()
    if chapter is not None:
        name, notebook = _chapter(root, chapter)
        _show_parameters(name, notebook)
        return
    known = parameters.chapters(root)
    if not known:
        raise BadParameter(f"{root}: has no notebooks/NN_name.ipynb; set FORGETTING_ROOT")
    table = _table("chapter", "title", "records", "minutes", "last run")
    for name, notebook in known.items():
        stored = _records([name])
        count = Counter(record.tier for record in stored)
        table.add_row(
            f"[bold]{escape(name)}[/bold]",
            escape(parameters.title_of(notebook)),
            ", ".join(f"{count[tier]} {tier}" for tier in records.TIERS if count[tier]) or "–",
            _minutes([record for record in stored if record.tier == "laptop"]),
            max((_date(record) for record in stored), default="–"),
        )
    _print(table)
    _print("[dim]minutes: of all laptop runs, and of one on average[/dim]")


def _show_parameters(name: str, notebook: Path) -> None:
    table = _table("parameter", "default", "what it does")
    for parameter in parameters.parameters_of(notebook):
        does = [escape(parameter.help)]
        if parameter.allowed:
            each = "each " if parameter.is_list else ""
            does.append(
                f"[dim]{each}{'one of ' * bool(parameter.choices)}{escape(parameter.allowed)}[/dim]"
            )
        default = escape(parameters.typed(parameter.default)) or "–"
        table.add_row(f"[bold]{parameter.name}[/bold]", default, "\n".join(does))
    _print(f"[bold]{escape(parameters.title_of(notebook))}[/bold]")
    _print(table)
    _print(f"[dim]to change one: forgetting run {name} -p name=value; lists as -p name=a,b[/dim]")


@app.command(no_args_is_help=True)
def run(
    chapter: Annotated[str, typer.Argument(help="A chapter's name, as `chapters` lists it.")],
    tier: Annotated[
        str | None,
        typer.Option(help="Which budget to spend; the same as -p tier=…", metavar="TIER"),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Change a parameter; can be repeated. `forgetting chapters NAME` lists them.",
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            "--scheduler",
            metavar="WHERE",
            envvar=scheduler.VARIABLE,
            help="Where to compute: local:2 for two processes on this machine, or the "
            "tcp://host:port of a running Dask cluster; in one process if not given.",
            show_default=False,
        ),
    ] = "",
    count: Annotated[
        int,
        typer.Option(
            "--processes",
            metavar="N",
            envvar=processes.VARIABLE,
            help="Over how many processes of this machine to shard each training (a GPU each, or "
            "the cores between them); 1 if not given.",
            show_default=False,
        ),
    ] = 1,
    report_to: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write a page of this run beside the published one: one HTML file, for others.",
            show_default=False,
        ),
    ] = None,
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
    if report_to and not report_to.absolute().parent.is_dir():
        raise BadParameter(f"--report {report_to}: its folder does not exist; make it first")
    scheduler.workers(where)
    os.environ[scheduler.VARIABLE] = where  # the notebook's kernel reads it
    os.environ[processes.VARIABLE] = str(count)
    processes.asked()
    root = _root()
    name, notebook = _chapter(root, chapter)
    declared = parameters.parameters_of(notebook)
    asked = _assignments(tier, given or [])
    values = parameters.check(declared, asked, chapter=name)
    settings = {p.name: values.get(p.name, p.default) for p in declared}
    output = _output(root, name, settings)
    for parameter in declared:
        if parameter.name in values:
            was = parameters.typed(parameter.default) or "empty"
            typer.echo(
                f"{parameter.name} = {parameters.typed(values[parameter.name])} (default: {was})"
            )
    of_tier = [r for r in _records([name]) if r.tier == settings.get("tier")]
    if of_tier:
        stored = _count(len(of_tier), f"{of_tier[0].tier} run")
        typer.echo(f"{stored} stored already; one took {_average(of_tier)}")
    if report_to:
        from forgetting import report

        before = report.published(name)
    typer.echo(f"running {_shown(notebook)} …")
    try:
        _execute(notebook, output, values, root)
    except KeyboardInterrupt:
        options = [f"-p {shlex.quote(f'{k}={v}')}" for k, v in asked.items()]
        options += [f"--scheduler {where}"] * bool(where)
        options += [f"--processes {count}"] * (count > 1)
        again = " ".join([name, *options])
        typer.echo(
            f"\nstopped; finished runs are kept, go on with: forgetting run {again}", err=True
        )
        raise typer.Exit(130) from None
    typer.echo(f"executed notebook: {_shown(output)}")
    if report_to:
        staged = root / "build" / "source" / "notebooks" / notebook.name
        page = report.page(name, output, settings, before, staged)
        report_to.write_text(page, encoding="utf-8")
        typer.echo(f"report: {_shown(report_to.absolute())}")


def _assignments(tier: str | None, given: Sequence[str]) -> dict[str, str]:
    """`--tier` and every `-p name=value` as one mapping."""
    pairs = [("tier", "=", tier)] if tier is not None else []
    pairs += [text.partition("=") for text in given]
    asked: dict[str, str] = {}
    for name, equals, value in pairs:
        name = name.strip()
        if not equals or not name:
            raise BadParameter(f"-p {name or '='}: expected name=value, for instance -p seeds=0,1")
        if name in asked:
            raise BadParameter(
                f"{name}={value!r}: given twice, first as {asked[name]!r}; "
                f"give it once (a list takes several values: -p {name}=one,another)"
            )
        asked[name] = value
    return asked


def _output(root: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """One file a chapter and set of parameters: the same command writes the same file."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return root / "build" / "runs" / f"{name}-{settings.get('tier', 'any')}-{digest}.ipynb"


def _execute(notebook: Path, output: Path, values: Mapping[str, Any], root: Path) -> None:
    """Run the notebook in a kernel of this environment; what it prints appears here as it comes.

    Raises `NotebookFailed` with the error's one line.
    """
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
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
        code = next((line.strip() for line in error.source.splitlines() if line.strip()), "")
        typer.echo(f"stopped in the cell `{code}`; the notebook so far: {_shown(output)}")
        raise NotebookFailed(f"{error.ename}: {error.evalue}".removesuffix(": ")) from error
    except DeadKernelError as error:
        raise NotebookFailed(
            "the kernel died, most often for want of memory; finished runs are kept: "
            "give the same command again, with a smaller model if it dies again"
        ) from error
    except NoSuchKernel as error:
        raise NotebookFailed(
            "no Jupyter kernel `python3` in this environment; pip install ipykernel"
        ) from error


@new_app.command("chapter", no_args_is_help=True)
def new_chapter(
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and _.")],
    cite: Annotated[
        str, typer.Option(help="The paper it tests, by its key in book/references.bib.")
    ],
) -> None:
    """Write the files of a new chapter: one that runs, to be changed line by line.

    Its notebook, its panel and budgets, and a claim. CONTRIBUTING.md says what comes next.

    Example: `forgetting new chapter self_output --cite shenfeld2026razor`

    Takes seconds.
    """
    from forgetting import skeleton

    for path in skeleton.chapter(_root(), name, cite):
        typer.echo(_shown(path))
    typer.echo(f"try it: forgetting run {name} --tier smoke -p data=bundled")


# -- exercises ---------------------------------------------------------------------------------


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
    from forgetting import answers

    name, notebook = _chapter(_root(), chapter)
    found = answers.exercises_of(notebook)
    path = _root() / "answers" / f"{name}.py"
    if new:
        if path.exists():
            raise BadParameter(f"{_shown(path)}: is there already; move it away to start again")
        path.parent.mkdir(exist_ok=True)
        path.write_text(answers.stubs(name, found), encoding="utf-8")
        typer.echo(f"{_shown(path)}: {_count(len(found), 'exercise')}, none answered yet")
        return
    if not path.exists():
        raise BadParameter(f"{_shown(path)}: is not there; forgetting grade {name} --new makes it")
    grades = answers.grade(found, path.read_text(encoding="utf-8"), str(path))
    table = _table("exercise", "outcome", "why")
    for each in grades:
        colour = {"passed": "green", "failed": "red"}.get(each.outcome, "dim")
        outcome = f"[{colour}]{each.outcome}[/{colour}]"
        table.add_row(escape(each.exercise.title), outcome, escape(each.why))
    _print(table)
    passed = sum(each.outcome == "passed" for each in grades)
    typer.echo(f"{passed} of {_count(len(grades), 'exercise')} passed")
    if passed < len(grades):
        raise typer.Exit(1)


# -- claims and records ------------------------------------------------------------------------


@app.command()
def check(
    chapter: Annotated[
        str | None, typer.Argument(help="Only this chapter's claims.", show_default=False)
    ] = None,
) -> None:
    """Judge the claims: what the stored records say of each, with its 95 % interval.

    A claim holds, is contradicted, is undecided (too few seeds, or an interval that contains the
    tolerance), or was not run. Nothing trains.

    Example: `forgetting check freezing`

    Takes a few seconds.
    """
    from forgetting import claims

    name = None if chapter is None else _chapter(_root(), chapter)[0]
    verdicts = claims.verdicts(name)
    if not verdicts:
        typer.echo("no claims are written down" + (f" for {name}" if name else ""))
        return
    table = _table("verdict", "claim", "effect", "measured", leading=1)
    table.columns[2].max_width = 20  # the unit may wrap; the claim needs the room
    for verdict in verdicts:
        colour = COLOURS[verdict.verdict]
        seeds = _count(verdict.seeds, "seed") if verdict.seeds else None
        told = [
            escape(verdict.statement),
            f"[dim]{escape(f'{verdict.id} · {verdict.paper}')}[/dim]",
        ]
        if verdict.reason:
            told.append(f"[dim]{escape(verdict.reason)}[/dim]")
        table.add_row(
            f"[{colour}]{verdict.verdict}[/{colour}]",
            "\n".join(told),
            _effect(verdict.effect, verdict.low, verdict.high, verdict.unit),
            "\n".join(escape(str(m)) for m in (verdict.tier, seeds, verdict.date) if m) or "–",
        )
    _print(table)
    counts = Counter(str(verdict.verdict) for verdict in verdicts)
    _print("")
    _print(" · ".join(f"[{c}]{counts[v]} {v}[/{c}]" for v, c in COLOURS.items() if counts[v]))


def _effect(effect: float | None, low: float | None, high: float | None, unit: str) -> str:
    if effect is None:
        return "–"
    numbers = f"{effect:+.3g}"
    if low is not None and high is not None:
        numbers += f"\n{low:+.3g} to {high:+.3g}"
    return escape(f"{numbers.replace('-', '−')}\n{unit}".strip())


@app.command("records")
def show_records(
    chapter: Annotated[
        str | None, typer.Argument(help="Only this chapter's records.", show_default=False)
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Show one record with its whole lineage."),
    ] = None,
) -> None:
    """What is stored, and from which recipe: every run's record, and the size of the store.

    With --key: how that run's model came to be, step by step, what it scored, and where and when.
    The first digits of a key are enough.

    Example: `forgetting records freezing --key 3fa2`

    Takes a second.
    """
    known = _chapters_with_records() | parameters.chapters(_root()).keys()
    names = sorted(known) if chapter is None else [_known_name(chapter, known)]
    stored = _records(names)
    if key is not None:
        _print(_lineage_tree(_by_prefix(stored, key)))
        return
    if stored:
        _print_records(stored)
    else:
        typer.echo("no records" + (f" of {names[0]}" if chapter else ""))
    smoke = sum(record.tier == "smoke" for record in stored)
    beside = f", {_count(smoke, 'smoke record')} in the cache" if smoke else ""
    published = _count(len(stored) - smoke, "record")
    typer.echo(f"{published} in {_shown(records.results_dir('laptop'))}{beside}")
    typer.echo(_store_sizes())


def _print_records(stored: Sequence[Record]) -> None:
    """A table for each chapter and tier."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(stored, key=_order):
        groups.setdefault((record.chapter, record.tier), []).append(record)
    for (chapter, tier), group in groups.items():
        _print(f"[bold]{escape(chapter)}, {tier} tier[/bold]")
        table = _table("key", "labels", "seconds", "date")
        table.columns[2].justify = "right"
        for record in group:
            seconds = f"{record.timing['seconds']:.0f}"
            labels = escape(_words(record.labels))
            table.add_row(record.key[:SHORT_KEY], labels, seconds, _date(record))
        _print(table)
        _print("")


def _store_sizes() -> str:
    """What the store of weights and scores holds, in one line."""
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for entry in store.entries():
        count[entry.kind] += 1
        size[entry.kind] += entry.size
    parts = [f"{kind} {count[kind]} ({filesize.decimal(size[kind])})" for kind in sorted(count)]
    return f"store {_shown(store.root())}: {', '.join(parts) or 'empty'}"


def _by_prefix(stored: Sequence[Record], prefix: str) -> Record:
    found = [record for record in stored if record.key.startswith(prefix.strip().lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadParameter(
            f"key={prefix!r}: no record's key starts so; `forgetting records` lists them"
        )
    some = ", ".join(record.key[:SHORT_KEY] for record in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    raise BadParameter(f"key={prefix!r}: {len(found)} records start so ({some}{more}); add digits")


def _lineage_tree(record: Record) -> Tree:
    tree = Tree(f"[bold]record {record.key}[/bold]  {escape(record.chapter)}, {record.tier} tier")
    tree.add(f"labels  {escape(_words(record.labels))}")
    model = tree.add("recipe, last step first")
    _add_step(model, record, list(record.lineage)[-1], set())
    scores = tree.add("scores, mean ± standard error over items")
    for name, of_task in record.scores.items():
        metrics = (m for m in of_task.metrics if m != "choice")  # an index has no mean
        values = (f"{m} {of_task.mean(m):.3g} ± {of_task.stderr(m):.2g}" for m in metrics)
        scores.add(escape(f"{name} ({of_task.n} items)  {', '.join(values)}"))
    tree.add(f"trained  {record.trainable:,} weights in {len(record.losses)} steps")
    tree.add(f"timing  {escape(_words(record.timing))}")
    tree.add(f"environment  {escape(_words(record.environment))}")
    return tree


def _add_step(tree: Tree, record: Record, key: str, shown: set[str]) -> None:
    """The recipe under `key`, and below it the recipes that it starts from."""
    recipe = dict(record.lineage[key])
    step = tree.add(f"[bold]{escape(str(recipe.pop('step', 'step')))}[/bold] {key}")
    if key in shown:
        step.add("[dim]as above[/dim]")
        return
    shown.add(key)
    if recipe.get("digest") == record.model["digest"]:
        recipe = record.model
    for name, value in recipe.items():
        if name != "parent":
            step.add(escape(f"{name}  {_words(value)}"))
    for parent in _texts(recipe):
        if parent in record.lineage:
            _add_step(step, record, parent, shown)


# -- the book and the cache --------------------------------------------------------------------


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

    Takes a minute or two; seconds where little changed.
    """
    from forgetting.book import BookError, build

    try:
        with Console(stderr=True).status("building the pages …"):
            pages = build(_root(), strict=strict)
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
    table = _table("in the cache", "size", "what it is")
    table.columns[1].justify = "right"
    for kind, size in sizes.items():
        table.add_row(kind, filesize.decimal(size), HOLDINGS.get(kind, ""))
    _print(table)
    typer.echo(f"in {_shown(registry.home())}")
    asked = {"weights": weights, "scores": scores, "models": models, "data": data}
    kinds = [kind for kind in asked if asked[kind] or everything]
    if not kinds:
        return
    if everything or weights or scores:
        kinds.append("damaged")
    if everything:
        kinds += ["cards", "digests", "classifiers"]
    total = filesize.decimal(sum(sizes[kind] for kind in kinds))
    if not yes:
        typer.confirm(f"delete {', '.join(kinds)} ({total})?", abort=True)
    if "damaged" in kinds:
        store.clean(set(kinds))
    for kind in ("models", "data"):
        if kind in kinds and (folder := registry.home() / kind).exists():
            shutil.rmtree(folder)
    freed = sum(sizes.values()) - sum(_holdings().values())
    typer.echo(f"freed {filesize.decimal(freed)}")


def _holdings() -> dict[str, int]:
    """Bytes of each part of the cache."""
    sizes = dict.fromkeys(HOLDINGS, 0)
    for entry in store.entries():
        sizes[entry.kind] = sizes.get(entry.kind, 0) + entry.size
    for kind in ("models", "data"):
        files = (path for path in (registry.home() / kind).rglob("*") if path.is_file())
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
    from forgetting import cards, foundation, study, tasks

    chosen = tasks.named(names or sorted({tasks.Task(name).family for name in tasks.names()}))
    missing = {d for name in chosen for d in tasks.Task(name).missing()}
    if missing:
        typer.echo(f"left out, not at hand: {', '.join(sorted(missing))}", err=True)
    families: dict[str, list[tasks.Task]] = {}
    for name in chosen:
        if tasks.Task(name).missing():
            continue
        wanted = answers if tasks.Task(name).config["output_type"] == "generate_until" else items
        task = tasks.Task(name, wanted)
        families.setdefault(task.family, []).append(task)
    base = study.Run(foundation(model), {"method": "untouched", "learning_rate": 0.0, "seed": 0})
    tier: records.Tier = "smoke" if model == "tiny" else "laptop"
    table = _table("task", "items", "score")
    for family, panel in families.items():
        typer.echo(f"{family}: {_count(len(panel), 'task')} …", err=True)
        (record,) = study.measure(cards.CHAPTER, [base], panel, tier, say=lambda line: None)
        for task in panel:
            found = record.scores[task.name]
            table.add_row(task.name, str(found.n), cards.main_score(found))
    _print(table)


# -- public data -------------------------------------------------------------------------------


@data_app.command("list")
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
    table = _table("data set", "size", "at hand", "licence, and the tasks that read it")
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
    _print(table)


@data_app.command(no_args_is_help=True)
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
    typer.echo(_shown(Path(os.path.commonpath([path.parent for path in paths]))))


@data_app.command()
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
        f"{_count(sound, 'data set')} sound, {_count(len(damaged), 'file')} damaged, "
        f"{_count(len(missing), 'data set')} not at hand"
    )
    if missing:
        typer.echo(
            f"not at hand: {', '.join(missing)}; get one with `forgetting data fetch NAME`, or set "
            "FORGETTING_DATA_MIRROR to a folder laid out as owner__repo/path"
        )
    if damaged or (name and missing):
        raise typer.Exit(1)


# -- shared ------------------------------------------------------------------------------------


def _root() -> Path:
    return records.project_root().resolve()


def _chapter(root: Path, given: str) -> tuple[str, Path]:
    """A chapter's name and notebook, from its name, its number and name, or its path."""
    known = parameters.chapters(root)
    name = _known_name(given, known)
    return name, known[name]


def _known_name(given: str, known: Iterable[str]) -> str:
    names = sorted(known)
    stem = Path(given).name.removesuffix(".ipynb")
    for name in (given, stem, stem.lstrip("0123456789").removeprefix("_")):
        if name in names:
            return name
    near = get_close_matches(given, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
    raise BadParameter(f"chapter={given!r}: no such chapter; {hint}")


def _chapters_with_records() -> set[str]:
    folders = {records.results_dir(tier) for tier in records.TIERS}
    return {path.parent.name for folder in folders for path in folder.glob("*/*.json")}


def _records(names: Iterable[str]) -> list[Record]:
    """Every stored record of these chapters, of all tiers."""
    folders = sorted({records.results_dir(tier) for tier in records.TIERS})
    paths = [p for name in names for f in folders for p in sorted((f / name).glob("*.json"))]
    return [records.load(path) for path in paths]


def _order(record: Record) -> tuple[str, int, str]:
    labels = json.dumps(record.labels, sort_keys=True)
    return record.chapter, records.TIERS.index(record.tier), labels


def _minutes(stored: Sequence[Record]) -> str:
    if not stored:
        return "–"
    total = sum(record.timing["seconds"] for record in stored)
    return f"{total / 60:.0f} ({_average(stored)})"


def _average(stored: Sequence[Record]) -> str:
    seconds = sum(record.timing["seconds"] for record in stored) / len(stored)
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _date(record: Record) -> str:
    return str(record.timing["date"])[:10]


def _words(value: Any) -> str:
    """Nested plain values in words: {"lr": 0.1, "on": ["a"]} as "lr 0.1, on a"."""
    if isinstance(value, Mapping):
        return ", ".join(
            _words(v) if k == "method" else f"{k} {_words(v)}" for k, v in value.items()
        )
    if isinstance(value, list | tuple):
        return " ".join(_words(v) for v in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _shown(path: Path) -> str:
    """The path from here where it lies below this folder, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _one_line(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _table(*columns: str, **options: Any) -> Table:
    look: dict[str, Any] = {"show_edge": False, "pad_edge": False, "collapse_padding": True}
    table = Table(box=box.SIMPLE_HEAD, **look, **options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(what: Any) -> None:
    Console(highlight=False, soft_wrap=isinstance(what, str)).print(what)


if __name__ == "__main__":
    app()
