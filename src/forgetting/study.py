"""A study: the runs that a chapter asks for, computed where missing, read where stored."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import psutil
import torch
from transformers import AutoConfig

from forgetting import engine, evaluation, panels, records, tuning
from forgetting.lineage import Checkpoint, Train
from forgetting.records import Record, Sample, Tier
from forgetting.registry import home
from forgetting.store import hash_key
from forgetting.tasks import Task

PACKAGES = ("torch", "transformers", "peft", "lm_eval", "accelerate", "numpy")
# Weights, gradients and two moments in float32, then Python, the libraries and activations.
BYTES_A_PARAMETER, BYTES_BESIDES = 16, 1_500_000_000


class NotEnough(RuntimeError):
    """Memory, disk or data that a study needs is not there."""


@dataclass(frozen=True)
class Run:
    """One checkpoint to measure and what to call it: method, learning_rate, seed."""

    checkpoint: Checkpoint
    labels: dict[str, Any] = field(hash=False)


def grid(
    base: Checkpoint,
    task: Task,
    rows: Mapping[str, tuple[tuning.Tuning, float]],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    **settings: Any,
) -> list[Run]:
    """The untouched model, then every row at every rate and seed, rate by rate.

    `rows` maps a method's name to its tuning and the factor on the learning rate. A row named
    "LoRA ×10" is the method LoRA at ten times the rate: labels carry the rate that was used, and
    a recipe that two rows share stands once.
    """
    runs = [Run(base, {"method": "untouched", "learning_rate": 0.0, "seed": 0})]
    for rate in learning_rates:
        for seed in seeds:
            for name, (tune, factor) in rows.items():
                used = float(f"{factor * rate:g}")
                trained = base.train(task, tune=tune, learning_rate=used, seed=seed, **settings)
                labels = {"method": name.split(" ×")[0], "learning_rate": used, "seed": seed}
                runs.append(Run(trained, labels))
    return list({run.checkpoint: run for run in reversed(runs)}.values())[::-1]


def sweep(
    chapter: str,
    base: Checkpoint,
    task: Task,
    rows: Mapping[str, tuple[tuning.Tuning, float]],
    *,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    tier: Tier,
    source: panels.Source,
    **settings: Any,
) -> list[Record]:
    """`grid` measured: the first rate on the whole panel, the others on its likelihoods alone.

    Returns all stored records of the chapter and tier that are comparable with these.
    """
    central, *beside = learning_rates
    first = grid(base, task, rows, [central], seeds, **settings)
    known = {run.checkpoint for run in first}
    others = [
        run
        for run in grid(base, task, rows, beside, seeds, **settings)
        if run.checkpoint not in known
    ]
    whole, part = panels.forgetting_panel(tier, source), panels.sweep_panel(tier, source)
    measured = measure(chapter, first, whole, tier, show=panels.QUESTIONS)
    measure(chapter, others, part, tier)
    return records.comparable(records.stored(chapter, tier), like=measured[-1])


def measure(
    chapter: str,
    runs: Sequence[Run],
    panel: Sequence[Task],
    tier: Tier,
    *,
    show: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> list[Record]:
    """A record of every run, in order. Stored ones are read; the others are computed and stored.

    `show` names the generation tasks whose answers a record keeps. `say` gets a line a run with
    the time left. Raises `NotEnough` before anything slow starts.
    """
    found = {run.checkpoint.key: _stored(chapter, run, panel, tier, show) for run in runs}
    todo = [run for run in runs if found[run.checkpoint.key] is None]
    if todo:
        engine.refuse_while_rendering(f"{len(todo)} runs of chapter {chapter} ({tier} tier)")
        check_resources(todo, panel)
    started = time.perf_counter()
    for number, run in enumerate(todo):
        if found[run.checkpoint.key] is not None:
            continue  # two labels for one recipe
        name = "{method}, rate {learning_rate:g}, seed {seed}".format(**run.labels)
        left = _left(time.perf_counter() - started, number, len(todo))
        say(f"[{number + 1}/{len(todo)}] {name}{left}")
        record = _compute(chapter, run, panel, tier, show)
        # What is returned is what was stored: a first run and a repeated one show the same.
        found[run.checkpoint.key] = records.load(records.save(record))
    if todo:
        say(f"{len(todo)} runs in {(time.perf_counter() - started) / 60:.1f} min")
    return [found[run.checkpoint.key] for run in runs]  # type: ignore[misc]


def check_resources(runs: Sequence[Run], panel: Sequence[Task]) -> None:
    """Raise `NotEnough`, in one line, for a missing data set, or too little memory or disk."""
    chains = (run.checkpoint.ancestors() for run in runs)
    steps = {key: checkpoint for chain in chains for key, checkpoint in chain.items()}
    taught = [c.step.task for c in steps.values() if isinstance(c.step, Train)]
    needed = {*panel, *taught}
    for task in sorted(needed, key=lambda t: t.name):
        for name in task.missing():
            # Not at hand is not unreachable: the loader downloads it; say what fails where it can't
            _fetch_or_explain(task, name)
    parameters = max(r.checkpoint.foundation.facts["parameters"] for r in runs)
    memory = parameters * BYTES_A_PARAMETER + BYTES_BESIDES
    free = psutil.virtual_memory().available
    if free < memory:
        raise NotEnough(
            f"memory: {free / 1e9:.1f} GB free, about {memory / 1e9:.1f} GB needed to train "
            f"{parameters / 1e6:.0f}M weights; close programs or name a smaller model"
        )
    disk = sum(4 * trainable(checkpoint) for checkpoint in steps.values())
    home().mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(home()).free
    if room < disk:
        raise NotEnough(
            f"disk: {room / 1e9:.1f} GB free in the cache, about {disk / 1e9:.1f} GB needed for "
            f"{len(taught)} checkpoints; run `forgetting clean` or set FORGETTING_HOME elsewhere"
        )


@lru_cache
def _trainable(folder: Any, tune: tuning.Tuning) -> int:
    return tuning.trainable_table([tune], AutoConfig.from_pretrained(folder))[0]["trainable"]


def trainable(checkpoint: Checkpoint) -> int:
    """Weights that the checkpoint's last training step could move; 0 for the untouched model."""
    step = checkpoint.step
    return _trainable(checkpoint.foundation.folder, step.tune) if isinstance(step, Train) else 0


def record_key(checkpoint: Checkpoint, panel: Sequence[Task]) -> str:
    """A record's name: a hash over the checkpoint's key and what is asked of it."""
    asked = sorted((task.test_recipe() for task in panel), key=lambda recipe: recipe["task"])
    return hash_key({"of": checkpoint.key, "on": asked, "version": evaluation.EVALUATION_VERSION})


def _stored(
    chapter: str, run: Run, panel: Sequence[Task], tier: Tier, show: Sequence[str]
) -> Record | None:
    """The run's record, if there is one that holds the answers to `show`."""
    path = records.path_of(chapter, record_key(run.checkpoint, panel), tier)
    if not path.exists():
        return None
    record = records.load(path)
    return record if {sample.task for sample in record.samples} >= set(show) else None


def _compute(
    chapter: str, run: Run, panel: Sequence[Task], tier: Tier, show: Sequence[str]
) -> Record:
    began, started = datetime.now(UTC), time.perf_counter()
    checkpoint = run.checkpoint
    loaded = engine.model(checkpoint)
    trained = time.perf_counter()
    scores = evaluation.evaluate(checkpoint, panel, lambda: loaded)
    samples: list[Sample] = []
    for task in panel:
        if task.name in show:
            samples += evaluation.answers(checkpoint, task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Record(
        key=record_key(checkpoint, panel),
        chapter=chapter,
        tier=tier,
        labels=run.labels,
        model=checkpoint.foundation.facts,
        lineage=checkpoint.lineage(),
        trainable=trainable(checkpoint),
        losses=engine.losses(checkpoint),
        scores=scores,
        samples=samples,
        environment=environment(),
        timing={
            "date": began.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(time.perf_counter() - started, 1),
            "training_seconds": round(trained - started, 1),
            "peak_memory_mib": peak // (1024 if sys.platform != "darwin" else 1024**2),
        },
    )


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


def _left(elapsed: float, done: int, total: int) -> str:
    if not done:
        return ""
    return f" · about {elapsed / done * (total - done) / 60:.0f} min left"


def _fetch_or_explain(task: Task, name: str) -> None:
    from forgetting.registry import Unreachable, fetch

    try:
        fetch(name)
    except Unreachable as error:
        raise NotEnough(f"data: {task.name} needs {error}; or use data='bundled'") from error
