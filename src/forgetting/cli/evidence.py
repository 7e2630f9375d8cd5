"""Commands for the evidence: what the claims come to, and the records that they rest on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich import filesize
from rich.markup import escape
from rich.tree import Tree

from forgetting import store
from forgetting.cli.shared import (
    counted,
    date_of,
    find_chapter,
    from_here,
    known_name,
    new_table,
    root_folder,
    show,
    stored_records,
)
from forgetting.evidence import records
from forgetting.evidence.claims import Verdict
from forgetting.evidence.records import Run
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter

app = typer.Typer()

COLOURS = {
    "holds": "green",
    "too small": "magenta",
    "reversed": "red",
    "undecided": "yellow",
    "not tested": "dim",
}
SHORT_KEY = 8  # digits of a key in a table; enough to name one record of thousands


@app.command()
def check(
    chapter: Annotated[
        str | None, typer.Argument(help="Only this chapter's claims.", show_default=False)
    ] = None,
) -> None:
    """Judge the claims: what the stored records say of each, with its 95 % interval.

    A claim holds, its effect is too small or reversed, it is undecided (too few seeds, or an
    interval that contains the threshold) or not tested (not run, or a manipulation check failed).
    Nothing trains.

    Example: `forgetting check freezing`

    Takes a few seconds.
    """
    from forgetting.chapters import published

    name = None if chapter is None else find_chapter(root_folder(), chapter)[0]
    verdicts = published.verdicts(name)
    if not verdicts:
        typer.echo("no claims are written down" + (f" for {name}" if name else ""))
        return
    table = new_table("verdict", "claim", "effect", "measured", leading=1)
    table.columns[2].max_width = 20  # the unit may wrap; the claim needs the room
    for verdict in verdicts:
        colour = COLOURS[verdict.verdict]
        told = [
            escape(verdict.statement),
            f"[dim]{escape(f'{verdict.id} · {verdict.paper}')}[/dim]",
        ]
        for reason in (verdict.reason, verdict.needed and f"would decide: {verdict.needed}"):
            if reason:
                told.append(f"[dim]{escape(reason)}[/dim]")
        table.add_row(
            f"[{colour}]{verdict.verdict}[/{colour}]",
            "\n".join(told),
            _effect(verdict),
            "\n".join(escape(str(m)) for m in (verdict.tier, verdict.runs, verdict.date) if m)
            or "–",
        )
    show(table)
    counts = Counter(str(verdict.verdict) for verdict in verdicts)
    show("")
    show(" · ".join(f"[{c}]{counts[v]} {v}[/{c}]" for v, c in COLOURS.items() if counts[v]))


def _effect(verdict: Verdict) -> str:
    """The effect, its interval, its unit, and what it must be."""
    if verdict.effect is None:
        return "–"
    lines = [f"{verdict.effect:+.3g}", f"{verdict.low:+.3g} to {verdict.high:+.3g}"]
    return escape("\n".join(lines).replace("-", "−") + f"\n{verdict.unit}, {verdict.condition}")


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
    known = _chapters_with_records() | parameters.chapters(root_folder()).keys()
    names = sorted(known) if chapter is None else [known_name(chapter, known)]
    stored = stored_records(names)
    if key is not None:
        for run in _by_prefix(stored, key):
            show(_lineage_tree(run))
        return
    if stored:
        _print_records(stored)
    else:
        typer.echo("no records" + (f" of {names[0]}" if chapter else ""))
    smoke = sum(record.tier == "smoke" for record in stored)
    beside = f", {counted(smoke, 'smoke record')} in the cache" if smoke else ""
    published = counted(len(stored) - smoke, "record")
    typer.echo(f"{published} in {from_here(records.results_dir('laptop'))}{beside}")
    typer.echo(_store_sizes())


def _chapters_with_records() -> set[str]:
    folders = {records.results_dir(tier) for tier in records.TIERS}
    return {name for folder in folders for name in records.experiments(folder)}


def _print_records(stored: Sequence[Run]) -> None:
    """A table for each chapter and tier."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for record in sorted(stored, key=_order):
        groups.setdefault((record.experiment, record.tier), []).append(record)
    for (chapter, tier), group in groups.items():
        show(f"[bold]{escape(chapter)}, {tier} tier[/bold]")
        table = new_table("key", "labels", "seconds", "date")
        table.columns[2].justify = "right"
        for record in group:
            seconds = f"{record.timing['seconds']:.0f}"
            labels = escape(_words(record.labels))
            table.add_row(record.key[:SHORT_KEY], labels, seconds, date_of(record))
        show(table)
        show("")


def _order(record: Run) -> tuple[str, int, str]:
    labels = json.dumps(record.labels, sort_keys=True)
    return record.experiment, records.TIERS.index(record.tier), labels


def _store_sizes() -> str:
    """What the store of weights and scores holds, in one line."""
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for entry in store.entries():
        count[entry.kind] += 1
        size[entry.kind] += entry.size
    parts = [f"{kind} {count[kind]} ({filesize.decimal(size[kind])})" for kind in sorted(count)]
    return f"store {from_here(store.root())}: {', '.join(parts) or 'empty'}"


def _by_prefix(stored: Sequence[Run], prefix: str) -> list[Run]:
    """The runs of the one System whose key starts so: several experiments may have asked it."""
    runs = [run for run in stored if run.key.startswith(prefix.strip().lower())]
    keys = list(dict.fromkeys(run.key[:SHORT_KEY] for run in runs))
    if len({run.key for run in runs}) == 1:
        return runs
    if not runs:
        raise BadParameter(
            f"key={prefix!r}: no record's key starts so; `forgetting records` lists them"
        )
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    some = f"{', '.join(keys[:4])}{more}"
    raise BadParameter(f"key={prefix!r}: {len(keys)} records start so ({some}); add digits")


def _lineage_tree(record: Run) -> Tree:
    tree = Tree(
        f"[bold]record {record.key}[/bold]  {escape(record.experiment)}, {record.tier} tier"
    )
    tree.add(f"labels  {escape(_words(record.labels))}")
    model = tree.add("recipe, last step first")
    _add_step(model, record, list(record.lineage)[-1], set())
    scores = tree.add("scores, mean ± standard error over items")
    for name, of_task in record.scores.items():
        metrics = (m for m in of_task.metrics if m != "choice")  # an index has no mean
        values = (f"{m} {of_task.mean(m):.3g} ± {of_task.stderr(m):.2g}" for m in metrics)
        title = name if of_task.task == name else f"{name}: {of_task.task}"
        scores.add(escape(f"{title} ({of_task.n} items)  {', '.join(values)}"))
    tree.add(f"trained  {record.trainable:,} weights in {len(record.losses)} steps")
    tree.add(f"timing  {escape(_words(record.timing))}")
    tree.add(f"environment  {escape(_words(record.environment))}")
    return tree


def _add_step(tree: Tree, record: Run, key: str, shown: set[str]) -> None:
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
