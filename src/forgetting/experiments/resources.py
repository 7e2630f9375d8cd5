"""What a study needs of a machine: memory by its parts, disk and data, asked before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import psutil
import torch

from forgetting.engine import compute
from forgetting.engine.training import give_freed_memory_back
from forgetting.home import home
from forgetting.lineage import Adapt, Checkpoint, Linear, Merge, Settings, Train, in_order
from forgetting.merging.base import Merging
from forgetting.models.family import family_of
from forgetting.probes.evaluation import Asked
from forgetting.registry import Unreachable, fetch
from forgetting.tuning import Tuning

FLOAT = 4  # bytes
# Measured with benchmarks/memory.py; to be measured again where training changes.
PROGRAM = 600_000_000  # Python, torch and the libraries, before a model is loaded
READING = 2, 3 * 256  # copies of the weights, and rows of logits, while a panel is measured
LOGIT_COPIES = 3  # logits, log-probabilities, a gradient of these
LARGEST_STEP = 2  # temporary tensors of the size of the largest parameter, while it is updated


class NotEnough(RuntimeError):
    """Memory, disk or data that a study needs is not there."""


class Memory(NamedTuple):
    """Bytes that a training step holds, by what they are for."""

    program: float
    weights: float
    gradients: float
    optimiser: float
    update: float
    activations: float
    logits: float

    @property
    def held(self) -> float:
        """What is there from the first step to the last."""
        return self.program + self.weights + self.optimiser

    @property
    def peak(self) -> float:
        """The larger of two moments: the loss is known, or the optimiser updates the weights.

        At the first all activations are there and no gradients; at the second the reverse.
        """
        return self.held + max(self.activations + self.logits, self.gradients + self.update)


class Moving(NamedTuple):
    """Of a tuned model: what may move, and what a token leaves behind for the backward pass.

    `trainable` and `largest` (the largest trainable tensor) count weights, `saved` floats a token.
    """

    total: int
    trainable: int
    largest: int
    saved: int


def training_memory(model: Checkpoint, tune: Tuning, settings: Settings) -> Memory:
    """What training such a model needs, in float32 with AdamW.

    Kept for the backward pass are, for a token and a block that gradients pass through (h hidden,
    m inner, a and k the widths of queries and of keys): the inputs of both norms and their scaled
    forms, queries, keys, values and what attention gives, the gate before and after its activation
    and the other half; and where weights move, the input of each.
    """
    moving = _moving(model.origin, tune)
    tokens = settings.batch * settings.length
    vocabulary = compute.configuration(model).get_text_config().vocab_size
    return Memory(
        program=PROGRAM,
        weights=FLOAT * moving.total,
        gradients=FLOAT * moving.trainable,
        optimiser=2 * FLOAT * moving.trainable,
        update=LARGEST_STEP * FLOAT * moving.largest,
        activations=FLOAT * moving.saved * tokens,
        logits=LOGIT_COPIES * FLOAT * vocabulary * tokens,
    )


def reading_memory(model: Checkpoint) -> float:
    """What measuring a panel needs, in bytes."""
    copies, rows = READING
    vocabulary = compute.configuration(model).get_text_config().vocab_size
    return PROGRAM + FLOAT * (copies * parameters(model) + rows * vocabulary)


def merging_memory(merge: Merge) -> float:
    """What a merge needs, in bytes: a sum its total and an operand at a time.

    Other methods need all operands, the result, as much again for what they compute with, and what
    they survey of each model: Fisher its importances.
    """
    copies = 2 if isinstance(merge.how, Linear) else len(merge.operands) + 2
    if isinstance(merge.how, Merging):
        copies += merge.how.surveyed * (len(merge.operands) - 1)
    return PROGRAM + FLOAT * copies * parameters(merge.operands[0])


def largest_batch(model: Checkpoint, tune: Tuning, settings: Settings, free: float) -> int:
    """The largest batch of `settings.length` tokens a row that fits into `free` bytes; may be 0."""
    one = training_memory(model, tune, settings.model_copy(update={"batch": 1}))
    room = free - one.held
    if one.gradients + one.update > room:
        return 0
    return int(room // (one.activations + one.logits))


def check_resources(
    checkpoints: Sequence[Checkpoint], panel: Sequence[Asked], workers: int | None = 1
) -> None:
    """Raise `NotEnough`, in one line, for a missing data set, or too little memory or disk.

    `workers` is how many steps this machine runs at a time; None where other machines do, whose
    memory is not known here.
    """
    steps = list(in_order(checkpoints))
    for checkpoint in steps:
        if isinstance(checkpoint.step, Train):
            compute.check_processes(checkpoint.step)
    taught = [c.step.shown for c in steps if isinstance(c.step, Train)]
    for task in sorted({*panel, *taught}, key=lambda t: t.name):
        for name in task.missing():
            try:
                fetch(name)
            except Unreachable as error:
                problem = f"data: {task.name} needs {error}; or use data='bundled'"
                raise NotEnough(problem) from error
    if workers:
        check_memory(steps, workers)
    stored = [  # bytes: of a training what moved, else all weights
        FLOAT * (trainable(c) if isinstance(c.step, Train) else parameters(c))
        for c in steps
        if c.step.costs
    ]
    disk = sum(stored)
    home().mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(home()).free
    if room < disk:
        raise NotEnough(
            f"disk: {room / 1e9:.1f} GB free in the cache, about {disk / 1e9:.1f} GB needed for "
            f"{len(stored)} checkpoints; run `forgetting clean` or set FORGETTING_HOME elsewhere"
        )


def check_memory(checkpoints: Sequence[Checkpoint], workers: int = 1) -> None:
    """Raise `NotEnough` where `workers` of the largest of these steps do not fit at a time.

    On a GPU its memory is asked: an estimate in float32, as on a CPU.
    """
    free = _free() / workers
    share = f"a worker of {workers}" if workers > 1 else "free"
    for checkpoint in checkpoints:
        step, size = checkpoint.step, f"{parameters(checkpoint) / 1e6:.0f}M weights"
        remedy = "close programs or name a smaller model"
        needs = [(reading_memory(checkpoint), f"measure a model of {size}; {remedy}")]
        if isinstance(step, Merge):
            what = f"merge {len(step.operands)} models of {size}"
            needs.append((merging_memory(step), f"{what}; merge fewer or name a smaller model"))
        if isinstance(step, Train):
            tune, settings = compute.tuning(step), step.settings
            batch = largest_batch(checkpoint, tune, settings, free)
            remedy = "shorten `length`, move fewer weights or name a smaller model"
            fits = f"batch={batch} fits" if batch else f"no batch fits: {remedy}"
            shape = f"batch={settings.batch} of {settings.length} tokens"
            needed = training_memory(checkpoint, tune, settings).peak
            needs.append((needed, f"train {tune!r} with {shape}; {fits}"))
        for needed, purpose in needs:
            if needed > free:
                amounts = f"{free / 1e9:.1f} GB {share}, about {needed / 1e9:.1f} GB needed"
                raise NotEnough(f"memory: {amounts} to {purpose}")


def trainable(checkpoint: Checkpoint) -> int:
    """Weights that the checkpoint's last step could train; 0 where it is no training.

    A stream may train, too: `adaptation`.
    """
    step = checkpoint.step
    if isinstance(step, Train):
        return _moving(checkpoint.origin, compute.tuning(step)).trainable
    if isinstance(step, Adapt) and step.same_weights is None:
        how: Any = step.how
        return _moving(checkpoint.origin, how.tune).trainable
    return 0


def parameters(checkpoint: Checkpoint) -> int:
    """Number of weights of the checkpoint's model."""
    if checkpoint.origin == checkpoint.root:
        return checkpoint.foundation.facts["parameters"]
    config = compute.configuration(checkpoint)
    return sum(p.numel() for p in family_of(config).outline(config).parameters())


def _free() -> float:
    """Bytes of memory that a model could take now."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    give_freed_memory_back()
    return psutil.virtual_memory().available


@lru_cache
def _moving(origin: Checkpoint, tune: Tuning) -> Moving:
    """Counted on a model without weights."""
    config = compute.configuration(origin)
    family = family_of(config)
    model = family.outline(config)
    with torch.device("meta"):
        total = sum(p.numel() for p in model.parameters())
        tuned = tune.apply(model)
    moved = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    return Moving(
        total=total,
        trainable=sum(p.numel() for p in moved.values()),
        largest=max(p.numel() for p in moved.values()),
        saved=family.saved(config, list(moved)),
    )
