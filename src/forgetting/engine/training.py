"""Training: one thin subclass of `transformers.Trainer`, deterministic given a seed."""

from __future__ import annotations

import ctypes
import math
import random
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from forgetting.engine import processes
from forgetting.lineage import Checkpoint, Drawn, Recipe, Settings, nothing_drawn
from forgetting.models.family import Reader, family_of
from forgetting.models.rows import (
    IGNORED,
    TARGET,
    Row,
    TooLittleText,
    read_tokens,
    rows_of,
    supervised,
)
from forgetting.objectives import Objective, Step, Weights
from forgetting.objectives.cross_entropy import CrossEntropy, head_cross_entropy
from forgetting.tasks import Task

PLAIN = CrossEntropy()


def no_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights of other checkpoints where no engine is at hand: raises `LookupError`."""
    raise LookupError(f"weights of {checkpoint!r}: nobody computes here; hand in `compute.state`")


def steps_of(rows: list[Row], settings: Settings, seed: int) -> list[list[Row]]:
    """The rows of every optimiser step, each epoch in an order of its own drawn from `seed`.

    The first epoch keeps the order of `rows`. No step holds rows of two epochs, so its last one
    may be smaller; epochs do not depend on how many follow.
    """
    rows, dice = list(rows), random.Random(f"epochs of {seed}")
    steps: list[list[Row]] = []
    for _ in range(settings.epochs):
        steps += [rows[i : i + settings.batch] for i in range(0, len(rows), settings.batch)]
        dice.shuffle(rows)
    return steps


def unfolded(rows: list[Row]) -> list[Row]:
    """The rows, each with what it has as `also` after it."""
    apart: list[Row] = []
    for row in rows:
        own = {name: value for name, value in row.items() if name != "also"}
        apart += [own, *row.get("also", ())]
    return apart


def batch_of(rows: list[Row], reader: Reader) -> dict[str, Any]:
    """What `loss_of` needs of rows.

    `inputs` are read, `at` says where for supervised tokens. Of each of these: `wanted`, the token
    itself, (tokens,), its row's part, its weight, and `before`, the untrained model's states there,
    (tokens, width), or None.
    """
    inputs, at = reader.collate(rows)
    kept = [supervised(row) for row in rows]
    counts = torch.tensor([int(each.sum()) for each in kept])
    parts = torch.tensor([int(row.get("part", TARGET)) for row in rows])
    weights = [row.get("weights", torch.ones(int(n))) for row, n in zip(rows, counts, strict=True)]
    before = [row["before"] for row in rows if "before" in row]
    return {
        "inputs": inputs,
        "at": at,
        "wanted": torch.cat([row["labels"][1:][k] for row, k in zip(rows, kept, strict=True)]),
        "parts": parts.repeat_interleave(counts),
        "weights": torch.cat(weights),
        "before": torch.cat(before) if before else None,
    }


class OrderedTrainer(Trainer):
    """`transformers.Trainer` with our objective, over steps already in their order.

    `before` is the untrained model's head, where the objective reads what that model would say.
    `precision` is that of `lineage.Settings`.
    """

    hold: Callable[[], None] | None = None

    def __init__(
        self,
        reader: Reader,
        objective: Objective,
        before: nn.Module | None,
        precision: str,
        **fields: Any,
    ) -> None:
        super().__init__(**fields, data_collator=lambda steps: self._batch(steps[0]))
        self.reader = reader
        self.goal = objective
        self.before = before
        self.precision = precision

    def compute_loss(  # type: ignore[override]
        self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        with self._products():
            loss = loss_of(model, self.reader, self.goal, inputs, self.before)
            return inputs["share"] * loss

    def _products(self) -> torch.autocast:
        """Within it, matrix products and attention are made in `precision`."""
        mixed = self.precision == "bfloat16"
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=mixed)

    def _batch(self, rows: list[Row]) -> dict[str, Any]:
        """This process's rows of a step, and what its mean counts for in the mean of all."""
        mine, share = part_of(rows, processes.rank(), processes.world())
        return batch_of(mine, self.reader) | {"share": share}

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if processes.world() > 1:
            processes.shard(self)

    def get_train_dataloader(self) -> Any:
        if processes.world() == 1:
            return super().get_train_dataloader()
        # accelerate would give whole steps to each process in turn.
        steps: Any = self.train_dataset
        return DataLoader(steps, batch_size=1, collate_fn=self.data_collator)

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:
        loss = super().training_step(*arguments, **options)
        if self.hold:
            self.hold()
        return loss

    def read(self, rows: list[Row], objective: Objective) -> torch.Tensor:
        """What `objective` makes of other rows, as the model stands now; gradients can be asked."""
        batch = self._prepare_inputs(batch_of(rows, self.reader))
        with self._products():
            return loss_of(self.model, self.reader, objective, batch, None)

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def part_of(rows: list[Row], rank: int, world: int) -> tuple[list[Row], float]:
    """The rows of one process, and the factor on its mean over tokens.

    The processes' gradients are averaged: with the factor, tokens · processes ÷ all tokens, the
    average is the mean over all tokens. A process without a row reads the first for nothing.
    """
    if world == 1:
        return rows, 1.0
    counts = [int(supervised(row).sum()) for row in rows]
    mine = rows[rank::world]
    if not mine:
        return rows[:1], 0.0
    return mine, sum(counts[rank::world]) * world / sum(counts)


def loss_of(
    model: Any,
    reader: Reader,
    objective: Objective,
    batch: dict[str, Any],
    before: nn.Module | None,
) -> torch.Tensor:
    """The objective of a batch, as `batch_of` makes it."""
    states = reader.states(model, batch["inputs"])[batch["at"]]
    plain = type(objective).loss is CrossEntropy.loss
    if plain and isinstance(reader.head, nn.Linear) and reader.head.bias is None:
        return head_cross_entropy(states, reader.head.weight, batch["wanted"])
    was = batch["before"]
    was = None if was is None or before is None else before(was)
    logits = reader.head(states)
    return objective.loss(Step(logits, batch["wanted"], batch["parts"], batch["weights"], was))


@torch.no_grad()
def look_before(
    model: Any, rows: list[Row], objective: Objective, seed: int
) -> tuple[list[Row], nn.Module]:
    """The rows with what the untrained model makes of them, and its head.

    Each row keeps the supervised tokens that the objective keeps, and at them, as `before`, the
    states (tokens, width) of which the head makes logits when they are wanted. A row with
    `teacher_ids` is read as these. `model` is in the state it starts from.
    """
    was_training = model.training
    model.eval()
    family = family_of(model)
    head = deepcopy(family.head(model)).requires_grad_(False)

    def look(row: Row, seed: int) -> Row:
        at = supervised(row).nonzero()[:, 0]
        states = family.states(model, [_as_teacher(row)])
        tokens = row["labels"][1:][at].to(states.device)
        kept = objective.keep(head(states), tokens, seed)
        labels = row["labels"].clone()
        labels[1:][at[~kept.cpu()]] = IGNORED
        looked = {"labels": labels, "before": states[kept].cpu(), "read": read_tokens(row)}
        if "weights" in row:
            looked["weights"] = row["weights"][kept.cpu()]
        if "also" in row:
            looked["also"] = [look(other, seed) for other in row["also"]]
        return row | looked

    examples = [look(row, seed + number) for number, row in enumerate(rows)]
    model.train(was_training)
    left = [row for row in examples if any(supervised(each).any() for each in unfolded([row]))]
    if not left:
        raise TooLittleText(f"{objective}: no token of {len(rows)} examples stays supervised")
    return left, head


def _as_teacher(row: Row) -> Row:
    """The row with what the untrained model reads in its place; both end with the same tokens."""
    if "teacher_ids" not in row:
        return row
    ids = row["teacher_ids"]
    labels = torch.full_like(ids, IGNORED)
    shared = min(len(ids), len(row["labels"]))
    labels[-shared:] = row["labels"][-shared:]
    return {"input_ids": ids, "labels": labels}


@cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep memory that this process frees; whether it does (glibc alone).

    Otherwise every step gives its gradients and activations back to the system and has them zeroed
    anew, page by page: of steps of two short examples on 2 cores a quarter of the time.
    """
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"):
        return False
    no_maps, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    return all(ctypes.CDLL(None).mallopt(*option) for option in (no_maps, never_trim))


def give_freed_memory_back() -> None:
    """What `keep_freed_memory` has kept is the system's again, and counts as free there."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    shown: Task | Recipe,
    settings: Settings,
    seed: int,
    objective: Objective = PLAIN,
    after_epoch: Callable[[int, list[float]], None] | None = None,
    before: PreTrainedModel | None = None,
    weights: Weights = no_weights,
    drawn: Drawn = nothing_drawn,
) -> list[float]:
    """Train `model` in place; the loss of every optimiser step, nats per token.

    `model` already has its tuning applied. `after_epoch` is given the number of epochs done and the
    losses so far, when `model` is what a training of so many epochs gives. `before` is read where
    the objective asks what a model says that is not trained: by default `model` itself, as it is
    when the training begins. `weights` and `drawn` give what objectives and recipes ask of other
    checkpoints.
    """
    keep_freed_memory()
    set_seed(seed)
    rows, head = rows_of(shown, tokenizer, settings, seed, drawn), None
    if objective.reads_before:
        rows, head = look_before(before or model, rows, objective, seed)
    steps = [unfolded(step) for step in steps_of(rows, settings, seed)]
    epoch_steps = len(steps) // settings.epochs
    losses: list[float] = []

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                losses.append(float(logs["loss"]))
                if after_epoch and len(losses) % epoch_steps == 0:
                    after_epoch(len(losses) // epoch_steps, list(losses))

    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=1,  # the data set's items are whole steps
            max_steps=len(steps),
            learning_rate=settings.learning_rate,
            lr_scheduler_type="linear" if settings.decay else "constant_with_warmup",
            warmup_steps=math.ceil(settings.warmup * len(steps)),
            weight_decay=settings.weight_decay,
            adam_beta2=settings.beta2,
            adam_epsilon=settings.epsilon,
            max_grad_norm=settings.clip,
            seed=seed,
            data_seed=seed,
            logging_steps=1,
            logging_nan_inf_filter=False,  # a diverged run shows as one
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            ddp_backend=None if torch.cuda.is_available() or processes.world() == 1 else "gloo",
            remove_unused_columns=False,
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # a step is one batch, never one a device
        alone = arguments.world_size == 1
        with family_of(model).reader(model, keep=settings.epochs > 1, alone=alone) as reader:
            trainer = OrderedTrainer(
                reader=reader,
                objective=objective,
                before=head,
                precision=settings.precision,
                model=model,
                args=arguments,
                train_dataset=steps,
                callbacks=[Watch()],
            )
            trainer.remove_callback(PrinterCallback)  # it prints every step's loss
            trainer.hold = objective.begin(model, tokenizer, trainer.read, weights, drawn)
            trainer.train()
    return losses
