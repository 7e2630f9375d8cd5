"""A study: the runs that a chapter asks for, computed where missing, read where stored.

What is missing is a graph of keyed steps: checkpoints to train, panels to measure on them, records
to write. `scheduler` runs it here or on Dask; the records are the same.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from forgetting import method, registry, store
from forgetting.engine import compute, scheduler
from forgetting.engine.scheduler import Step
from forgetting.evidence import records
from forgetting.evidence.records import Record, Sample, Tier
from forgetting.experiments import panels
from forgetting.experiments.methods import Row
from forgetting.experiments.resources import check_resources, trainable
from forgetting.lineage import Checkpoint, Samples, Settings, Train, in_order
from forgetting.probes import evaluation
from forgetting.probes.evaluation import Asked
from forgetting.probes.measures import Surprise
from forgetting.registry import home
from forgetting.store import hash_key
from forgetting.tasks import Task

PACKAGES = ("torch", "transformers", "peft", "lm_eval", "accelerate", "numpy")


@dataclass(frozen=True)
class Run:
    """One checkpoint to measure and what to call it: method, learning_rate, seed."""

    checkpoint: Checkpoint
    labels: dict[str, Any] = field(hash=False)


def grid(
    base: Checkpoint,
    task: Task,
    rows: Mapping[str, Row],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    epochs: Sequence[int] = (),
    **settings: Any,
) -> list[Run]:
    """The untouched model, then every row at every rate and seed, rate by rate.

    `rows` maps a method's name to its answers and the factor on the learning rate. A row named
    "LoRA ×10" is the method LoRA at ten times the rate: labels carry the rate that was used, and
    a recipe that two rows share stands once. With `epochs`, a run stands there as it was after each
    of them, the longest first, and labels say which.
    """
    runs = [Run(base, {"method": "untouched", "learning_rate": 0.0, "seed": 0})]
    for rate, seed in itertools.product(learning_rates, seeds):
        for name, row in rows.items():
            used = float(f"{row.factor * rate:g}")
            labels = {"method": name.split(" ×")[0], "learning_rate": used, "seed": seed}
            told = settings | row.settings | {"learning_rate": used, "seed": seed}
            if not epochs:
                runs.append(Run(row.train(base, task, **told), labels))
            for count in sorted(epochs, reverse=True):
                trained = row.train(base, task, epochs=count, **told)
                runs.append(Run(trained, labels | {"epochs": count}))
    return list({run.checkpoint: run for run in reversed(runs)}.values())[::-1]


class Question(NamedTuple):
    """Runs and what is asked of them; `show` names the tasks whose answers their records keep."""

    chapter: str
    tier: Tier
    runs: Sequence[Run]
    panel: Sequence[Asked]
    show: Sequence[str] = ()


def sweep(
    chapter: str,
    base: Checkpoint,
    rows: Mapping[str, Row],
    *,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    tier: Tier,
    source: panels.Source,
    epochs: Sequence[int] = (),
    **settings: Any,
) -> list[Record]:
    """`grid` on what the chapter teaches, measured.

    Central runs (the first rate, after the last epoch) answer the whole panel, the others its
    likelihoods and choices alone. Returns all stored records of the chapter and tier that are
    comparable with these.
    """
    taught = panels.taught(chapter, source)
    central, *_ = learning_rates
    first = grid(base, taught, rows, [central], seeds, sorted(epochs)[-1:], **settings)
    known = {run.checkpoint for run in first}
    every = grid(base, taught, rows, learning_rates, seeds, epochs, **settings)
    others = [run for run in every if run.checkpoint not in known]
    whole, part = (panels.panel(chapter, tier, source, sweep=sweep) for sweep in (False, True))
    asked = {task.name for task in whole}
    show = [name for name in panels.PANELS[chapter].shown if name in asked]  # public or bundled
    measured, _ = answer(
        [
            Question(chapter, tier, first, whole, show),
            Question(chapter, tier, others, part),
        ]
    )
    return records.comparable(records.stored(chapter, tier), like=measured[-1])


def surprises(
    chapter: str,
    base: Checkpoint,
    rows: Mapping[str, Row],
    *,
    tier: Tier,
    source: panels.Source,
    seed: int = 0,
    **settings: Any,
) -> Record:
    """How much the answers that each row shows surprise `base`, in one record of `base`.

    Rows that differ in their objective alone show the same answers; they stand once.
    """
    task, told = panels.taught(chapter, source), Settings(**settings)
    shown = {name: row.what(base, task) for name, row in rows.items()}
    kinds = {what: name for name, what in reversed(shown.items())}
    asked = [Surprise(name, what, told, seed) for what, name in reversed(kinds.items())]
    run = Run(base, {"method": "untouched", "learning_rate": 0.0, "seed": seed})
    names = [one.name for one in asked]
    return measure(chapter, [run], asked, tier, show=names)[0]


def measure(
    chapter: str,
    runs: Sequence[Run],
    panel: Sequence[Asked],
    tier: Tier,
    *,
    show: Sequence[str] = (),
    say: Callable[[str], None] = print,
    where: str | None = None,
) -> list[Record]:
    """A record of every run, in order. Stored ones are read; the others are computed and stored.

    `show` names the generation tasks whose answers a record keeps. `say` gets a line a step with
    the time left. `where` it is computed is what `scheduler.run` takes: by default what
    `FORGETTING_SCHEDULER` says, this process if it says nothing. Raises `resources.NotEnough`
    before anything slow starts, and what `scheduler.run` raises.
    """
    (found,) = answer([Question(chapter, tier, runs, panel, show)], say=say, where=where)
    return found


def answer(
    questions: Sequence[Question],
    *,
    say: Callable[[str], None] = print,
    where: str | None = None,
) -> list[list[Record]]:
    """`measure` for several questions at once: a list of records for each."""
    where = os.environ.get(scheduler.VARIABLE, "") if where is None else where
    workers = scheduler.workers(where)
    missing: list[Question] = []
    asked = [_keys(question) for question in questions]
    found: dict[tuple[str, str, str], Record] = {}
    for question, keys in zip(questions, asked, strict=True):
        todo = []
        for run, key in zip(question.runs, keys, strict=True):
            record = _stored(question, key)
            if record is None:
                todo.append(run)
            else:
                found[question.chapter, question.tier, key] = record
        if todo:
            missing.append(question._replace(runs=todo))
            what = f"{len(todo)} runs of chapter {question.chapter} ({question.tier} tier)"
            compute.refuse_while_rendering(what)
            check_resources([run.checkpoint for run in todo], question.panel, workers)
    if missing:
        graph = plan(*missing)
        started = time.monotonic()
        done = scheduler.run(graph, where=where, settings=_settings(), say=say)
        for step in graph.values():
            if step.kind == "record":
                # What is returned is what was stored: a first run and a repeated one show the same.
                record = records.read(done[step.key], step.key)
                found[record.chapter, record.tier, record.key] = record
        runs = sum(step.kind == "record" for step in graph.values())
        say(f"{runs} runs in {(time.monotonic() - started) / 60:.1f} min")
    return [
        [found[question.chapter, question.tier, key] for key in keys]
        for question, keys in zip(questions, asked, strict=True)
    ]


def plan(*questions: Question) -> dict[str, Step]:
    """The steps that answer questions, by key, in the order in which one process takes them.

    A run's record needs its measurement, that its checkpoint, and that what it was trained from.
    Checkpoints that differ in epochs alone are trained in one step. What costs nothing, as a sum of
    weights does not, is no step: it is computed when it is read.
    """
    asked: dict[str, dict[str, tuple[Question, Run]]] = {}  # by checkpoint, by step
    families: dict[Checkpoint, dict[str, Checkpoint]] = {}
    for question in questions:
        for run, key in zip(question.runs, _keys(question), strict=True):
            checkpoint = run.checkpoint
            # Of two labels for one recipe the first is kept.
            asked.setdefault(checkpoint.key, {}).setdefault(key, (question, run))
            families.setdefault(_family(checkpoint), {})[checkpoint.key] = checkpoint
    together = [sorted(found.values(), key=_epochs, reverse=True) for found in families.values()]
    passed = {members[0].key: tuple(members[1:]) for members in together}
    passing = {short.key: members[0].key for members in together for short in members[1:]}
    graph: dict[str, Step] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for checkpoint in in_order(one for members in together for one in members):
        below = tuple(dict.fromkeys(need for p in checkpoint.parents for need in needs[p.key]))
        named = next(iter(asked.get(checkpoint.key, {}).values()), None)
        name = _name(named[1] if named else None, checkpoint)
        needs[checkpoint.key] = below
        if checkpoint.step.costs:
            drawn: tuple[str, ...] = ()
            for wanted in checkpoint.step.samples:
                step = f"sample-{wanted.key}"
                told = f"drawing samples for {name}"
                before = (*needs[wanted.of.key], *drawn)  # its prompts may read what was drawn
                graph.setdefault(step, Step(step, "sample", told, _draw, (wanted,), before))
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
        for key, (question, run) in asked.get(checkpoint.key, {}).items():
            measured = f"measure-{key}"
            written = f"record-{question.chapter}-{question.tier}-{key}"
            panel = tuple(question.panel)
            graph[measured] = Step(
                measured,
                f"measure {hash(panel)}",
                f"measuring {name}",
                _measure,
                (checkpoint, panel),
                needs[checkpoint.key],
            )
            made_by = needs[checkpoint.key] if checkpoint.step.costs else ()
            alone = question._replace(runs=(run,))
            graph[written] = Step(written, "record", "", _write, (alone,), (measured, *made_by))
    return graph


def _epochs(checkpoint: Checkpoint) -> int:
    return checkpoint.step.settings.epochs if isinstance(checkpoint.step, Train) else 0


def _family(checkpoint: Checkpoint) -> Checkpoint:
    """What checkpoints share that differ in epochs alone."""
    step = checkpoint.step
    long = isinstance(step, Train) and step.settings.epochs > 1 and not step.settings.scheduled
    return checkpoint.after(1) if long else checkpoint


def record_key(checkpoint: Checkpoint, panel: Sequence[Asked]) -> str:
    """A record's name: a hash over the checkpoint's key and what is asked of it."""
    return _record_key(checkpoint, _asked(panel))


def _keys(question: Question) -> list[str]:
    asked = _asked(question.panel)
    return [_record_key(run.checkpoint, asked) for run in question.runs]


def _asked(panel: Iterable[Asked]) -> list[dict[str, Any]]:
    return sorted((task.test_recipe() for task in panel), key=lambda recipe: recipe["task"])


def _record_key(checkpoint: Checkpoint, asked: list[dict[str, Any]]) -> str:
    return hash_key({"of": checkpoint.key, "on": asked, "version": evaluation.EVALUATION_VERSION})


def _stored(question: Question, key: str) -> Record | None:
    """The record of that key, if there is one that holds the answers to `show`.

    A damaged one is set aside, and counts as missing; while a book is rendered it is an error.
    """
    path = records.path_of(question.chapter, key, question.tier)
    if not path.exists():
        return None
    try:
        record = records.load(path)
    except records.BadRecord as error:
        if compute.rendering():
            raise
        store.set_aside(path, f"record {key}", str(error))
        return None
    return record if {sample.task for sample in record.samples} >= set(question.show) else None


def _name(run: Run | None, checkpoint: Checkpoint) -> str:
    """What people call a checkpoint: its run's labels, or what it was taught."""
    if run is not None:
        epochs = run.labels.get("epochs")
        after = f", {epochs} epoch{'s' * (epochs != 1)}" if epochs else ""
        order = f", {run.labels['order']}" if "order" in run.labels else ""
        return "{method}, rate {learning_rate:g}, seed {seed}".format(**run.labels) + after + order
    step = checkpoint.step
    return f"{step.shown.name}, seed {step.seed}" if isinstance(step, Train) else repr(checkpoint)


def _settings() -> dict[str, str]:
    """The variables that say where data, store and records are, for workers in other folders."""
    given = {
        variable: str(Path(value).expanduser().absolute()) if value else ""
        for variable in ("FORGETTING_DATA_MIRROR", "FORGETTING_RESULTS", method.VARIABLE)
        for value in [os.environ.get(variable, "")]
    }
    return given | {
        "FORGETTING_HOME": str(home()),
        "FORGETTING_DATA": str(registry.data_dir()),
        "FORGETTING_ROOT": str(records.project_root().absolute()),
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
    return Made(compute.losses(checkpoint), seconds, _peak_memory())


def _draw(wanted: Samples, *_: Made | None) -> None:
    compute.samples(wanted)


def _measure(checkpoint: Checkpoint, panel: Sequence[Asked], *_: Made) -> Measured:
    began, started = datetime.now(UTC), time.perf_counter()
    evaluation.evaluate(checkpoint, panel)
    seconds = time.perf_counter() - started
    return Measured(f"{began:%Y-%m-%dT%H:%M:%SZ}", environment(), seconds, _peak_memory())


def _write(question: Question, measured: Measured, made: Made | None = None) -> bytes:
    """Write the record of a question about one run; the file's content."""
    (run,), (key,) = question.runs, _keys(question)
    checkpoint = run.checkpoint
    spent = [step for step in (measured, made) if step]
    training = made.seconds if made and isinstance(checkpoint.step, Train) else 0.0
    samples: list[Sample] = []
    for task in question.panel:
        if task.name in question.show:
            samples += evaluation.answers(checkpoint, task)
    record = Record(
        key=key,
        chapter=question.chapter,
        tier=question.tier,
        labels=run.labels,
        model=checkpoint.foundation.facts,
        lineage=checkpoint.lineage(),
        trainable=trainable(checkpoint),
        losses=made.losses if made else [],
        shown=compute.shown(checkpoint),
        scores=evaluation.evaluate(checkpoint, question.panel),
        samples=samples,
        environment=measured.environment,
        timing={
            "date": measured.began,
            "seconds": round(sum(step.seconds for step in spent), 1),
            "training_seconds": round(training, 1),
            "peak_memory_mib": max(step.peak_memory_mib for step in spent),
        },
    )
    return records.save(record).read_bytes()


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 if sys.platform != "darwin" else 1024**2)


@lru_cache
def environment() -> dict[str, str]:
    """Hardware, versions and the book's commit, as far as they can be told."""
    versions = {p: importlib.metadata.version(p).partition("+")[0] for p in PACKAGES}
    return {
        "device": _device(),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
        "commit": _commit(),
    }


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.processor() or 'CPU'}, {os.cpu_count()} cores"


def _commit() -> str:
    command = ["git", "-C", str(records.project_root()), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
