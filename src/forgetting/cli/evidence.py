"""Commands for the evidence: what the claims come to, and the records that they rest on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import filesize
from rich.markup import escape
from rich.tree import Tree

from forgetting import store
from forgetting.cli import shared
from forgetting.cli.shared import dim, from_here, show
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.experiments import parameters
from forgetting.experiments.parameters import BadParameter
from forgetting.wording import count

if TYPE_CHECKING:
    from forgetting.evidence.claims import Verdict  # which loads scipy

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
    chapter: Annotated[str | None, typer.Argument(help="Only this chapter's claims.")] = None,
) -> None:
    """Judge the claims: what the stored records say of each, with its 95 % interval.

    A claim holds, its effect is too small or reversed, it is undecided (too few seeds, or an
    interval that contains the threshold) or not tested (not run, or a manipulation check failed).
    Nothing trains.

    Example: `forgetting check freezing`

    Takes a few seconds.
    """
    from forgetting.chapters import published

    name = None if chapter is None else shared.find_chapter(chapter)[0]
    bad: list[records.BadRecord] = []
    verdicts = published.verdicts(name, bad=bad)
    shared.tell(bad)
    if not verdicts:
        typer.echo("no claims are written down" + (f" for {name}" if name else ""))
        return
    table = shared.new_table("verdict", "claim", "effect", "measured", leading=1)
    table.columns[2].max_width = 20  # the unit may wrap; the claim needs the room
    for verdict in verdicts:
        colour = COLOURS[verdict.verdict]
        claim = [escape(verdict.statement), dim(f"{verdict.id} · {verdict.paper}")]
        needed = verdict.needed and f"would decide: {verdict.needed}"
        claim += [dim(reason) for reason in (verdict.reason, needed) if reason]
        measured = [part for part in (verdict.tier, verdict.runs, verdict.date) if part]
        table.add_row(
            f"[{colour}]{verdict.verdict}[/{colour}]",
            "\n".join(claim),
            _effect(verdict),
            escape("\n".join(measured)) or "–",
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
    chapter: Annotated[str | None, typer.Argument(help="Only this chapter's records.")] = None,
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
    known = _chapters_with_records() | parameters.chapters(shared.root_folder()).keys()
    names = sorted(known) if chapter is None else [shared.known_name(chapter, known)]
    runs = shared.stored_runs(names)
    if key is not None:
        for run in _by_prefix(runs, key):
            show(_lineage_tree(run))
        return
    if not runs:
        typer.echo("no records" + (f" of {names[0]}" if chapter else ""))
    for (name, tier), group in groupby(sorted(runs, key=_order), lambda r: (r.experiment, r.tier)):
        show(f"[bold]{escape(name)}, {tier} tier[/bold]")
        table = shared.new_table("key", "labels", "seconds", "date", right=["seconds"])
        for run in group:
            seconds = f"{run.timing['seconds']:.0f}"
            labels = escape(_words(run.labels) + ", diverged" * run.diverged)
            table.add_row(run.key[:SHORT_KEY], labels, seconds, shared.date_of(run))
        show(table)
        show("")
    smoke = sum(run.tier == "smoke" for run in runs)
    beside = f", {count(smoke, 'smoke record')} in the cache" if smoke else ""
    published = count(len(runs) - smoke, "record")
    typer.echo(f"{published} in {from_here(records.results_dir('laptop'))}{beside}")
    typer.echo(_store_sizes())


def _chapters_with_records() -> set[str]:
    folders = {records.results_dir(tier) for tier in records.TIERS}
    return {name for folder in folders for name in records.experiments(folder)}


def _order(run: Run) -> tuple[str, int, str]:
    labels = json.dumps(run.labels, sort_keys=True)
    return run.experiment, records.TIERS.index(run.tier), labels


def _store_sizes() -> str:
    """What the store of weights and scores holds, in one line."""
    kinds = [
        f"{kind} {len(sizes)} ({filesize.decimal(sum(sizes))})"
        for kind, group in groupby(store.entries(), lambda entry: entry.kind)
        if (sizes := [entry.size for entry in group])
    ]
    return f"store {from_here(store.root())}: {', '.join(kinds) or 'empty'}"


def _by_prefix(runs: Sequence[Run], prefix: str) -> list[Run]:
    """The runs of the one System whose key starts so: several experiments may have asked it."""
    matches = [run for run in runs if run.key.startswith(prefix.strip().lower())]
    keys = list(dict.fromkeys(run.key for run in matches))
    if len(keys) == 1:
        return matches
    if not keys:
        raise BadParameter(
            f"key={prefix!r}: no record's key starts so; `forgetting records` lists them"
        )
    few = ", ".join(key[:SHORT_KEY] for key in keys[:4])
    few += f" and {len(keys) - 4} more" * (len(keys) > 4)
    raise BadParameter(f"key={prefix!r}: {len(keys)} records start so ({few}); add digits")


def _lineage_tree(run: Run) -> Tree:
    tree = Tree(f"[bold]record {run.key}[/bold]  {escape(run.experiment)}, {run.tier} tier")
    tree.add(escape(f"labels  {_words(run.labels)}"))
    _add_step(tree.add("recipe, last step first"), run, list(run.lineage)[-1], set())
    branch = tree.add("scores, mean ± standard error over items")
    for role, scores in run.scores.items():
        metrics = (m for m in scores.metrics if m != "choice")  # an index has no mean
        values = (f"{m} {scores.mean(m):.3g} ± {scores.stderr(m):.2g}" for m in metrics)
        title = role if scores.task == role else f"{role}: {scores.task}"
        branch.add(escape(f"{title} ({scores.n} items)  {', '.join(values)}"))
    tree.add(f"trained  {run.trainable:,} weights in {len(run.losses)} steps")
    tree.add(escape(f"timing  {_words(run.timing)}"))
    tree.add(escape(f"environment  {_words(run.environment)}"))
    return tree


def _add_step(tree: Tree, run: Run, key: str, shown: set[str]) -> None:
    """The recipe under `key`, and below it the recipes that it starts from."""
    recipe = dict(run.lineage[key])
    branch = tree.add(f"[bold]{escape(recipe.pop('step'))}[/bold] {key}")
    if key in shown:
        branch.add("[dim]as above[/dim]")
        return
    shown.add(key)
    if recipe.get("digest") == run.model["digest"]:
        recipe = run.model
    for name, value in recipe.items():
        if name != "parent":
            branch.add(escape(f"{name}  {_words(value)}"))
    for parent in _texts(recipe):
        if parent in run.lineage:
            _add_step(branch, run, parent, shown)


def _words(value: Any) -> str:
    """Nested plain values in words: {"lr": 0.1, "on": ["a"]} as "lr 0.1, on a"."""
    if isinstance(value, Mapping):
        return ", ".join(
            _words(v) if k == "method" else f"{k} {_words(v)}" for k, v in value.items()
        )
    if isinstance(value, list | tuple):
        return " ".join(map(_words, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)
