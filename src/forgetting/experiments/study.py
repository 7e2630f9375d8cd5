"""A study: cells of an experiment, computed and measured where missing, read where stored.

What is missing is a graph of keyed steps: checkpoints to train, probes to ask of them, records to
write. `scheduler` runs it here or on Dask; the records are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from forgetting import home, store
from forgetting.engine import compute, scheduler
from forgetting.engine.scheduler import Step
from forgetting.evidence import records
from forgetting.evidence.records import Entry, Record, Run, Session, Tier
from forgetting.experiments.environment import environment, peak_memory
from forgetting.experiments.questions import Cell, Question, Records, probe_key
from forgetting.experiments.resources import check_resources, parameters, trainable
from forgetting.lineage import Checkpoint, Samples, Train, in_order
from forgetting.probes import evaluation
from forgetting.probes.evaluation import Asked
from forgetting.wording import did_you_mean

T = TypeVar("T")


def measure(
    experiment: str,
    cells: Sequence[Cell],
    asks: Mapping[str, Asked] | Sequence[Asked],
    tier: Tier,
    *,
    keep: Sequence[str] = (),
    design: str = "",
    say: Callable[[str], None] = print,
    where: str | None = None,
) -> list[Run]:
    """A run for every cell, in order. What is stored is read; the rest is computed and stored.

    `asks` are probes by role, or probes, each in the role of its name; of the roles in `keep`
    records keep the answers. `say` gets a line a step with the time left. `where` it is computed is
    what `scheduler.run` takes: by default what `FORGETTING_SCHEDULER` says, this process if it says
    nothing. Raises `ValueError` for two probes of one name and for a role that is not asked,
    `resources.NotEnough` before anything slow starts, and what `scheduler.run` raises.
    """
    if isinstance(asks, Mapping):
        by_role = dict(asks)
    else:
        by_role = {probe.name: probe for probe in asks}
        names = [probe.name for probe in asks]
        if twice := [name for name in by_role if names.count(name) > 1]:
            raise ValueError(f"asks={twice[0]!r}: asked twice; give each a role: {{'short': …, …}}")
    for role in keep:
        if role not in by_role:
            hint = did_you_mean(role, by_role, f"there are {', '.join(by_role)}")
            raise ValueError(f"keep={role!r}: no such role is asked; {hint}")
    question = Question(experiment, tier, cells, by_role, keep, design)
    (runs,) = answer([question], say=say, where=where)
    return runs


def answer(
    questions: Sequence[Question],
    *,
    say: Callable[[str], None] = print,
    where: str | None = None,
) -> list[list[Run]]:
    """`measure` for several questions at once: a list of runs for each."""
    where = home.setting(scheduler.VARIABLE) if where is None else where
    workers = scheduler.workers(where)
    stored = _stored(questions)
    missing = [question for q in questions if (question := _missing(q, stored)).cells]
    for question in missing:
        what = f"{len(question.cells)} runs of {question.experiment} ({question.tier} tier)"
        compute.refuse_while_rendering(what)
        probes = {p for cell in question.cells for p in _lacking(question, cell, stored).values()}
        check_resources([cell.checkpoint for cell in question.cells], list(probes), workers)
    if not home.rendering():
        for question in questions:
            complete = [c for c in question.cells if not _lacking(question, c, stored)]
            _enter(question, complete, stored)
    if missing:
        graph = plan(missing, stored)
        started = time.monotonic()
        scheduler.run(graph, where=where, settings=settings(), say=say)
        stored |= _stored(missing)
        count = sum(step.kind == "record" for step in graph.values())
        say(f"{count} runs in {(time.monotonic() - started) / 60:.1f} min")
    answers = [_runs(question, stored) for question in questions]
    for run in {run.key: run for runs in answers for run in runs if run.diverged}.values():
        labels = ", ".join(f"{name} {value}" for name, value in run.labels.items())
        say(f"{labels}: diverged, so it has no scores; lower its learning rate")
    return answers


def _stored(questions: Sequence[Question]) -> dict[tuple[Tier, str], Record]:
    """The records of the questions' cells, as far as there are any, each read once."""
    stored = {}
    systems = ((q.tier, cell.checkpoint.key) for q in questions for cell in q.cells)
    for tier, key in dict.fromkeys(systems):
        path = records.path_of(key, tier)
        if path.exists() and (record := _sound(partial(records.load, path), path, f"record {key}")):
            stored[tier, key] = record
    return stored


def _sound(load: Callable[[], T], path: Path, name: str) -> T | None:
    """What `load` reads; damaged it is set aside, while a book is rendered an error."""
    try:
        return load()
    except records.BadRecord as error:
        if home.rendering():
            raise
        store.set_aside(path, name, str(error))
        return None


def _lacking(question: Question, cell: Cell, stored: Records) -> dict[str, Asked]:
    return question.lacking(stored.get((question.tier, cell.checkpoint.key)))


def _missing(question: Question, stored: Records) -> Question:
    """The question, of those cells alone that lack something."""
    return replace(question, cells=[c for c in question.cells if _lacking(question, c, stored)])


def _runs(question: Question, stored: Records) -> list[Run]:
    """The runs of a question's cells, with its roles."""
    index = records.load_index(question.experiment, question.tier)
    entries = {entry.place: entry for entry in index.runs}
    runs = []
    for key in (cell.checkpoint.key for cell in question.cells):
        entry = entries.get((key, question.tier, question.design))
        if entry is None:  # possible while a book is rendered: nothing is entered then
            raise compute.NotComputed(
                f"run {key} is not in the index of {question.experiment}; run the chapter again"
            )
        record = stored[question.tier, key]
        runs.append(records.run_of(question.experiment, question.panel, entry, record))
    return runs


def _enter(question: Question, cells: Sequence[Cell], stored: Records) -> None:
    """Note cells, whose scores are all there, in the experiment's index where it lacks them."""
    name, panel, entries = question.experiment, question.panel, []
    load = partial(records.load_index, name, question.tier)
    index = _sound(load, records.index_path(name, question.tier), f"index of {name}")
    index = index or records.Index(experiment=name)  # what a damaged one named is measured still
    known = {entry.place: entry for entry in index.runs}
    for cell in cells:
        record = stored[question.tier, cell.checkpoint.key]
        before = known.get((record.key, question.tier, question.design))
        own = before.sessions if before else []
        places = {record.place(probe, own) for probe in panel.values()}
        places |= {record.place(panel[role], own, answers=True) for role in question.keep}
        places.discard(None)  # of what diverged
        if before and places <= {*own} and panel.items() <= index.panels[before.panel].items():
            continue
        entry = Entry(
            system=record.key,
            tier=question.tier,
            design=question.design,
            sessions=sorted(place for place in places if place is not None),
            start=cell.start,
            labels=cell.labels,
        )
        entries.append(entry)
    if entries:
        records.enter(name, question.tier, panel, entries)


def plan(questions: Sequence[Question], stored: Records | None = None) -> dict[str, Step]:
    """The steps that answer questions, by key, in the order in which one process takes them.

    `stored` are records whose scores need not be measured again.
    A record needs its measurement, that its checkpoint, and that what it was trained from.
    Checkpoints that differ in epochs alone are trained in one step. What costs nothing, as a sum of
    weights does not, is no step: it is computed when it is read.
    """
    asked: dict[str, list[tuple[Question, Cell]]] = {}  # by checkpoint
    families: dict[Checkpoint, dict[str, Checkpoint]] = {}
    for question in questions:
        for cell in question.cells:
            checkpoint = cell.checkpoint
            asked.setdefault(checkpoint.key, []).append((question, cell))
            families.setdefault(_family(checkpoint), {})[checkpoint.key] = checkpoint
    together = [sorted(f.values(), key=_epochs, reverse=True) for f in families.values()]
    passed = {members[0].key: tuple(members[1:]) for members in together}
    passing = {short.key: members[0].key for members in together for short in members[1:]}
    graph: dict[str, Step] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for checkpoint in in_order(member for members in together for member in members):
        below = tuple(dict.fromkeys(need for p in checkpoint.parents for need in needs[p.key]))
        places = asked.get(checkpoint.key, [])
        name = _name(places[0][1] if places else None, checkpoint)
        needs[checkpoint.key] = below
        if checkpoint.step.costs:
            drawn: tuple[str, ...] = ()
            for samples in checkpoint.step.samples:
                step = f"sample-{samples.key}"
                label = f"drawing samples for {name}"
                before = (*needs[samples.of.key], *drawn)  # its prompts may read what was drawn
                graph.setdefault(step, Step(step, "sample", label, _draw, (samples,), before))
                drawn = (*drawn, step)
            below = tuple(dict.fromkeys((*below, *drawn)))
            made = f"{checkpoint.step.kind}-{checkpoint.key}"
            longer = passing.get(checkpoint.key)
            graph[made] = Step(
                made,
                "passed" if longer else checkpoint.step.kind,
                "" if longer else f"{checkpoint.step.doing} {name}",
                _make,
                (checkpoint, passed.get(checkpoint.key, ())),
                (f"train-{longer}",) if longer else below,
            )
            needs[checkpoint.key] = (made,)
        for tier in dict.fromkeys(question.tier for question, _ in places):
            of_tier = [(q, cell) for q, cell in places if q.tier == tier]
            probes = {
                question.panel[role]: probe
                for question, cell in of_tier
                for role, probe in _lacking(question, cell, stored or {}).items()
            }
            measured = f"measure-{tier}-{checkpoint.key}"
            graph[measured] = Step(
                measured,
                f"measure {hash(tuple(probes))}",
                f"measuring {name}",
                _measure,
                (checkpoint, tuple(probes.values())),
                needs[checkpoint.key],
            )
            made_by = needs[checkpoint.key] if checkpoint.step.costs else ()
            written = f"record-{tier}-{checkpoint.key}"
            alone = tuple(replace(question, cells=(cell,)) for question, cell in of_tier)
            work = (checkpoint, tuple(probes.values()), alone)
            graph[written] = Step(written, "record", "", _write, work, (measured, *made_by))
    return graph


def _epochs(checkpoint: Checkpoint) -> int:
    return checkpoint.step.settings.epochs if isinstance(checkpoint.step, Train) else 0


def _family(checkpoint: Checkpoint) -> Checkpoint:
    """What checkpoints share that differ in epochs alone."""
    step = checkpoint.step
    long = isinstance(step, Train) and step.settings.epochs > 1 and not step.settings.scheduled
    return checkpoint.after(1) if long else checkpoint


WORDS = {"method": "", "learning_rate": "rate ", "order": ""}  # of labels, before their values


def _name(cell: Cell | None, checkpoint: Checkpoint) -> str:
    """What people call a checkpoint: its labels, or what it was taught."""
    if cell is not None:
        labels = {k: v for k, v in cell.labels.items() if k not in ("last", "learned")}
        texts = {k: f"{v:g}" if isinstance(v, float) else v for k, v in labels.items()}
        return ", ".join(f"{WORDS.get(k, f'{k} ')}{text}" for k, text in texts.items())
    step = checkpoint.step
    return f"{step.shown.name}, seed {step.seed}" if isinstance(step, Train) else repr(checkpoint)


def settings() -> dict[str, str]:
    """The variables that say where data, store and records are, for workers in other folders."""
    named = ("FORGETTING_DATA_MIRROR", "FORGETTING_RESULTS", "FORGETTING_METHODS")
    paths = {name: home.folder(name) for name in named}
    return {name: str(path) if path else "" for name, path in paths.items()} | {
        "FORGETTING_HOME": str(home.home()),
        "FORGETTING_DATA": str(home.data_dir()),
        "FORGETTING_ROOT": str(Path(records.project_root()).absolute()),
    }


class Made(NamedTuple):
    """What computing a checkpoint's last step says of itself: a training's losses; what it took."""

    losses: list[float]
    seconds: float
    peak_memory_mib: int


class Measured(NamedTuple):
    """What a measurement says of itself beside its scores, which are in the store."""

    began: str
    environment: dict[str, str]
    seconds: float
    peak_memory_mib: int
    diverged: bool = False


def _make(checkpoint: Checkpoint, passed: Sequence[Checkpoint], *_: Made | None) -> Made:
    started = time.perf_counter()
    if passed:
        compute.train_through([*passed, checkpoint])
    compute.make(checkpoint)
    seconds = time.perf_counter() - started
    return Made(compute.losses(checkpoint), seconds, peak_memory())


def _draw(samples: Samples, *_: Made | None) -> None:
    compute.samples(samples)


def _measure(checkpoint: Checkpoint, probes: Sequence[Asked], *_: Made) -> Measured:
    began, started = datetime.now(UTC), time.perf_counter()
    diverged = False
    try:
        evaluation.evaluate(checkpoint, probes)
    except compute.Diverged:
        diverged = True
    seconds = time.perf_counter() - started
    date = f"{began:%Y-%m-%dT%H:%M:%SZ}"
    return Measured(date, environment(), seconds, peak_memory(), diverged)


def _write(
    checkpoint: Checkpoint,
    probes: Sequence[Asked],
    questions: Sequence[Question],
    measured: Measured,
    made: Made | None = None,
) -> None:
    """Add what was measured to the System's record, and enter it in each experiment's index."""
    kept = {question.panel[role] for question in questions for role in question.keep}
    probes = [] if measured.diverged else probes
    answered = [probe for probe in probes if probe_key(probe) in kept]
    session = Session(
        scores={probe_key(p): evaluation.evaluate(checkpoint, [p])[p.name] for p in probes},
        samples=[s for probe in answered for s in evaluation.answers(checkpoint, probe)],
        environment=measured.environment,
        timing={
            "date": measured.began,
            "seconds": round(measured.seconds, 1),
            "peak_memory_mib": measured.peak_memory_mib,
        },
    )
    computing: dict[str, Any] = {}
    if made:
        computing = {"seconds": round(made.seconds, 1), "peak_memory_mib": made.peak_memory_mib}
    record = Record(
        key=checkpoint.key,
        model=checkpoint.foundation.facts | {"parameters": parameters(checkpoint)},
        lineage=checkpoint.lineage(),
        trainable=trainable(checkpoint),
        losses=made.losses if made else [],
        diverged=measured.diverged,
        shown=compute.shown(checkpoint),
        computing=computing,
        sessions=[session],
    )
    tier = questions[0].tier
    whole = records.load(records.append(record, tier))
    for question in questions:
        _enter(question, question.cells, {(tier, record.key): whole})
