"""A study: cells of an experiment, computed and measured where missing, read where stored.

What is missing is a graph of keyed steps: checkpoints to train, probes to ask of them, records to
write. `scheduler` runs it here or on Dask; the records are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from forgetting import home, store
from forgetting.engine import compute, scheduler
from forgetting.engine.scheduler import Step
from forgetting.evidence import records
from forgetting.evidence.records import Entry, Record, Run, Session, Tier
from forgetting.experiments.environment import environment, peak_memory
from forgetting.experiments.resources import check_resources, trainable
from forgetting.lineage import Checkpoint, Samples, Train, in_order
from forgetting.probes import evaluation
from forgetting.probes.evaluation import Asked
from forgetting.probes.scores import Sample
from forgetting.store import hash_key


@dataclass(frozen=True)
class Cell:
    """A place of an experiment's grid: a checkpoint to measure, and the labels of its run.

    `start` marks the model from which every arm starts.
    """

    checkpoint: Checkpoint
    labels: dict[str, Any] = field(hash=False)
    start: bool = False


class Question(NamedTuple):
    """Cells and what is asked of them, by role; of the roles in `keep` records keep the answers.

    `design` names what runs share that may be compared.
    """

    experiment: str
    tier: Tier
    cells: Sequence[Cell]
    asks: Mapping[str, Asked]
    keep: Sequence[str] = ()
    design: str = ""

    @property
    def panel(self) -> dict[str, str]:
        """The probe key that stands for each role."""
        return {role: probe_key(probe) for role, probe in self.asks.items()}


def probe_key(probe: Asked) -> str:
    """A probe's name in records: a hash over what its scores depend on, beside the model."""
    return hash_key({"on": probe.test_recipe(), "version": evaluation.EVALUATION_VERSION})


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

    `asks` are probes by role, or probes, each in the role of its name. `say` gets a line a step
    with the time left. `where` it is computed is what `scheduler.run` takes: by default what
    `FORGETTING_SCHEDULER` says, this process if it says nothing. Raises `resources.NotEnough`
    before anything slow starts, and what `scheduler.run` raises.
    """
    by_role = asks if isinstance(asks, Mapping) else {probe.name: probe for probe in asks}
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
    missing: list[Question] = []
    for question in questions:
        known = {(e.system, e.design): e for e in _index(question).runs if e.tier == question.tier}
        todo = [cell for cell in question.cells if _missing(question, cell)]
        if todo:
            what = f"{len(todo)} runs of chapter {question.experiment} ({question.tier} tier)"
            compute.refuse_while_rendering(what)
            probes = {p for cell in todo for p in _missing(question, cell).values()}
            check_resources([cell.checkpoint for cell in todo], list(probes), workers)
            missing.append(question._replace(cells=todo))
        complete = [cell for cell in question.cells if cell not in todo]
        if not home.rendering():
            _enter(question, [c for c in complete if not _entered(question, c, known)])
    if missing:
        graph = plan(*missing)
        started = time.monotonic()
        scheduler.run(graph, where=where, settings=settings(), say=say)
        count = sum(step.kind == "record" for step in graph.values())
        say(f"{count} runs in {(time.monotonic() - started) / 60:.1f} min")
    return [[_run(question, cell) for cell in question.cells] for question in questions]


def _run(question: Question, cell: Cell) -> Run:
    """The stored run of a cell, with the roles of this question."""
    index = records.load_index(question.experiment, question.tier)
    place = cell.checkpoint.key, question.tier, question.design
    for entry in index.runs:
        if (entry.system, entry.tier, entry.design) == place:
            return records.run_of(question.experiment, question.tier, question.panel, entry)
    compute.refuse_while_rendering(f"run {cell.checkpoint.key} of {question.experiment}")
    raise LookupError(f"{question.experiment}: {cell.checkpoint.key} is not in the index")


def _index(question: Question) -> records.Index:
    """The experiment's index. A damaged one is set aside; while a book is rendered it is an error.

    What it named is measured still, and is entered again by whoever asks.
    """
    try:
        return records.load_index(question.experiment, question.tier)
    except records.BadRecord as error:
        if home.rendering():
            raise
        path = records.index_path(question.experiment, question.tier)
        store.set_aside(path, f"index of {question.experiment}", str(error))
        return records.Index(experiment=question.experiment)


def _record(key: str, tier: Tier) -> Record | None:
    """The record of a System, if there is one; a damaged one is set aside, as with `_index`."""
    path = records.path_of(key, tier)
    if not path.exists():
        return None
    try:
        return records.load(path)
    except records.BadRecord as error:
        if home.rendering():
            raise
        store.set_aside(path, f"record {key}", str(error))
        return None


def _missing(question: Question, cell: Cell) -> dict[str, Asked]:
    """What is still to be asked of a cell: probes without scores, or whose answers are wanted."""
    record = _record(cell.checkpoint.key, question.tier)
    if record is None:
        return dict(question.asks)
    places = record.places(question.panel.values())
    missing = {}
    for role, key in question.panel.items():
        probe = question.asks[role]
        session = record.sessions[places[key]] if key in places else None
        answered = session is not None and any(s.task == probe.name for s in session.samples)
        if session is None or (role in question.keep and not answered):
            missing[role] = probe
    return missing


def _entered(question: Question, cell: Cell, known: Mapping[tuple[str, str], Entry]) -> bool:
    """Whether the index has the cell with every role of the question."""
    entry = known.get((cell.checkpoint.key, question.design))
    if entry is None:
        return False
    roles = records.load_index(question.experiment, question.tier).panels[entry.panel]
    return question.panel.items() <= roles.items()


def _enter(question: Question, cells: Sequence[Cell]) -> None:
    """Note cells, whose scores are all there, in the experiment's index."""
    entries = []
    for cell in cells:
        record = records.load(records.path_of(cell.checkpoint.key, question.tier))
        entries.append(
            Entry(
                system=record.key,
                tier=question.tier,
                design=question.design,
                panel="",
                sessions=sorted(set(record.places(question.panel.values()).values())),
                start=cell.start,
                labels=cell.labels,
            )
        )
    if entries:
        records.enter(question.experiment, question.tier, question.panel, entries)


def plan(*questions: Question) -> dict[str, Step]:
    """The steps that answer questions, by key, in the order in which one process takes them.

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
                probe_key(probe): probe
                for question, cell in of_tier
                for probe in _missing(question, cell).values()
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
            alone = tuple(question._replace(cells=(cell,)) for question, cell in of_tier)
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


def _name(cell: Cell | None, checkpoint: Checkpoint) -> str:
    """What people call a checkpoint: its labels, or what it was taught."""
    if cell is not None:
        named = {"learning_rate": "rate ", "seed": "seed ", "epochs": "epochs ", "order": ""}
        rest = {k: v for k, v in cell.labels.items() if k in named}
        words = [f"{named[k]}{f'{v:g}' if isinstance(v, float) else v}" for k, v in rest.items()]
        return ", ".join([str(cell.labels.get("method", "")), *words])
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


# -- the steps ---------------------------------------------------------------------------------


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
    evaluation.evaluate(checkpoint, probes)
    seconds = time.perf_counter() - started
    return Measured(f"{began:%Y-%m-%dT%H:%M:%SZ}", environment(), seconds, peak_memory())


def _write(
    checkpoint: Checkpoint,
    probes: Sequence[Asked],
    questions: Sequence[Question],
    measured: Measured,
    made: Made | None = None,
) -> None:
    """Add what was measured to the System's record, and enter it in each experiment's index."""
    kept = {question.asks[role].name for question in questions for role in question.keep}
    samples: list[Sample] = []
    for probe in probes:
        if probe.name in kept:
            samples += evaluation.answers(checkpoint, probe)
    scores = evaluation.evaluate(checkpoint, probes)
    session = Session(
        scores={probe_key(probe): scores[probe.name] for probe in probes},
        samples=samples,
        environment=measured.environment,
        timing={
            "date": measured.began,
            "seconds": round(measured.seconds, 1),
            "peak_memory_mib": measured.peak_memory_mib,
        },
    )
    record = Record(
        key=checkpoint.key,
        model=checkpoint.foundation.facts,
        lineage=checkpoint.lineage(),
        trainable=trainable(checkpoint),
        losses=made.losses if made else [],
        shown=compute.shown(checkpoint),
        computing={
            "seconds": round(made.seconds, 1),
            "peak_memory_mib": made.peak_memory_mib,
        }
        if made
        else {},
        sessions=[session],
    )
    records.append(record, questions[0].tier)
    for question in questions:
        _enter(question, question.cells)
