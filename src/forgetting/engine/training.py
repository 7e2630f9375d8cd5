"""Training: one thin subclass of `transformers.Trainer`, deterministic given a seed."""

from __future__ import annotations

import ctypes
import math
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
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
from forgetting.models import packing
from forgetting.models.causal import IGNORED, TARGET, Example, TooLittleText, rows_of
from forgetting.objectives import Objective, Step, Weights
from forgetting.objectives.cross_entropy import CrossEntropy, head_cross_entropy
from forgetting.tasks import Task

PLAIN = CrossEntropy()


def no_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The weights of other checkpoints where no engine is at hand: raises `LookupError`."""
    raise LookupError(f"weights of {checkpoint!r}: nobody computes here; hand in `compute.state`")


@dataclass
class Steps(Dataset):
    """The token rows of each optimiser step, in the order in which they are trained on."""

    steps: list[list[Example]]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> list[Example]:
        return self.steps[index]


def steps_of(rows: list[Example], settings: Settings, seed: int) -> list[list[Example]]:
    """The rows of every optimiser step, each epoch in an order of its own drawn from `seed`.

    The first epoch keeps the order of `rows`. No step holds rows of two epochs, so its last one
    may be smaller; epochs do not depend on how many follow.
    """
    rows, drawn = list(rows), random.Random(f"epochs of {seed}")
    steps: list[list[Example]] = []
    for _ in range(settings.epochs):
        steps += [rows[i : i + settings.batch] for i in range(0, len(rows), settings.batch)]
        drawn.shuffle(rows)
    return steps


def unfolded(rows: list[Example]) -> list[Example]:
    """The rows, each with what it has as `also` after it."""
    found: list[Example] = []
    for row in rows:
        own = {name: held for name, held in row.items() if name != "also"}
        found += [own, *row.get("also", ())]
    return found


def pack(rows: list[Example]) -> dict[str, Any]:
    """A batch for `packing.Reader`: the rows' ids one after another, (tokens,), and their lengths.

    `wanted` is the token that each should predict, -100 where none is supervised.
    """
    end = torch.tensor([IGNORED])
    return {
        "input_ids": torch.cat([row["input_ids"] for row in rows]),
        "wanted": torch.cat([part for row in rows for part in (row["labels"][1:], end)]),
        "lengths": [len(row["input_ids"]) for row in rows],
        **beside(rows),
    }


def pad(rows: list[Example]) -> dict[str, Any]:
    """A batch for any other model: ids padded on the right with 0, and a mask.

    `wanted` is (batch, length), -100 at padding too.
    """
    from torch.nn.utils.rnn import pad_sequence

    ids = pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    labels = pad_sequence([row["labels"] for row in rows], batch_first=True, padding_value=IGNORED)
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    wanted = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    return {"input_ids": ids, "wanted": wanted, "attention_mask": mask, **beside(rows)}


def beside(rows: list[Example]) -> dict[str, Any]:
    """What an objective sees beside the logits: a part and a weight a supervised token, `before`.

    `before` (tokens, width) are the untrained model's hidden states there, or None.
    """
    counts = torch.tensor([int((row["labels"][1:] != IGNORED).sum()) for row in rows])
    parts = torch.tensor([int(row.get("part", TARGET)) for row in rows])
    weights = [row.get("weights", torch.ones(int(n))) for row, n in zip(rows, counts, strict=True)]
    known = [row["before"] for row in rows if "before" in row]
    return {
        "parts": parts.repeat_interleave(counts),
        "weights": torch.cat(weights),
        "before": torch.cat(known) if known else None,
    }


class OrderedTrainer(Trainer):
    """`transformers.Trainer` with our objective, over steps already in their order.

    With a `reader` batches are packed, and logits are made at supervised tokens alone. `before` is
    the untrained model's head, where the objective reads what that model would say. `precision` is
    that of `lineage.Settings`.
    """

    def __init__(
        self,
        reader: packing.Reader | None,
        objective: Objective,
        before: torch.Tensor | None,
        precision: str,
        **given: Any,
    ) -> None:
        super().__init__(**given, data_collator=lambda steps: self._batch(steps[0]))
        self.reader = reader
        self.goal = objective
        self.before = before
        self.precision = precision
        self.hold: Callable[[], None] | None = None

    def compute_loss(  # type: ignore[override]
        self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        with self._products():
            return inputs["share"] * loss_of(model, self.reader, self.goal, inputs, self.before)

    def _products(self) -> torch.autocast:
        """Within it, matrix products and attention are made in `precision`."""
        mixed = self.precision == "bfloat16"
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=mixed)

    def _batch(self, rows: list[Example]) -> dict[str, Any]:
        """This process's rows of a step, and what its mean counts for in the mean of all."""
        mine, share = part_of(rows, processes.rank(), processes.world())
        return (pack if self.reader else pad)(mine) | {"share": share}

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

    def training_step(self, *given: Any, **more: Any) -> torch.Tensor:
        loss = super().training_step(*given, **more)
        if self.hold:
            self.hold()
        return loss

    def read(self, rows: list[Example], objective: Objective) -> torch.Tensor:
        """What `objective` makes of other rows, as the model stands now; gradients can be asked."""
        batch = (pack if self.reader else pad)(rows)
        there = {n: v.to(self.args.device) if torch.is_tensor(v) else v for n, v in batch.items()}
        with self._products():
            return loss_of(self.model, self.reader, objective, there, None)

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def part_of(rows: list[Example], rank: int, world: int) -> tuple[list[Example], float]:
    """The rows of one process, and the factor on its mean over tokens.

    The processes' gradients are averaged: with the factor, tokens · processes ÷ all tokens, the
    average is the mean over all tokens. A process without a row reads the first for nothing.
    """
    if world == 1:
        return rows, 1.0
    counts = [int((row["labels"][1:] != IGNORED).sum()) for row in rows]
    mine = rows[rank::world]
    if not mine:
        return rows[:1], 0.0
    return mine, sum(counts[rank::world]) * world / sum(counts)


def loss_of(
    model: Any,
    reader: packing.Reader | None,
    objective: Objective,
    batch: dict[str, Any],
    before: torch.Tensor | None,
) -> torch.Tensor:
    """The objective of a batch, as `pack` makes it for a reader and `pad` where there is none."""
    wanted = batch["wanted"]
    supervised = wanted != IGNORED
    plain = type(objective).loss is CrossEntropy.loss
    if reader is None:
        read = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits = model(**read, use_cache=False).logits[supervised]
    else:
        hidden = reader(batch["input_ids"], batch["lengths"])[supervised]
        if plain:
            return head_cross_entropy(hidden, reader.head.weight, wanted[supervised])
        logits = reader.head(hidden)
    was = batch["before"]
    return objective.loss(
        Step(
            logits,
            wanted[supervised],
            batch["parts"],
            batch["weights"],
            None if was is None or before is None else was @ before.T,
        )
    )


@torch.no_grad()
def look_before(
    model: Any, rows: list[Example], objective: Objective, seed: int
) -> tuple[list[Example], torch.Tensor]:
    """The rows with what the untrained model makes of them, and its head, (vocabulary, width).

    Each row keeps the supervised tokens that the objective keeps, and at them, as `before`, the
    hidden states (tokens, width) of the last norm: the head makes logits of them when they are
    wanted. A row with `teacher_ids` is read as these. `model` is in the state it starts from.
    """
    was_training = model.training
    model.eval()
    causal = packing.unwrapped(model)
    head = causal.get_output_embeddings().weight.detach().clone()

    def look(row: Example, seed: int) -> Example:
        at = (row["labels"][1:] != IGNORED).nonzero()[:, 0]
        ids = row["teacher_ids" if "teacher_ids" in row else "input_ids"]
        from_end = at - len(row["input_ids"])
        states = causal.base_model(ids[None].to(head.device), use_cache=False)[0]
        hidden = states[0, from_end]
        kept = objective.keep(hidden @ head.T, row["labels"][1:][at].to(head.device), seed)
        labels = row["labels"].clone()
        labels[1:][at[~kept.cpu()]] = IGNORED
        weighed = {"weights": row["weights"][kept.cpu()]} if "weights" in row else {}
        also = {"also": [look(other, seed) for other in row["also"]]} if "also" in row else {}
        return row | weighed | also | {"labels": labels, "before": hidden[kept].cpu()}

    found = [look(row, seed + number) for number, row in enumerate(rows)]
    model.train(was_training)
    left = [
        row for row in found if any((one["labels"][1:] != IGNORED).any() for one in unfolded([row]))
    ]
    if not left:
        raise TooLittleText(f"{objective}: no token of {len(rows)} examples stays supervised")
    return left, head


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
    progress: Callable[[float], None] | None = None,
    after_epoch: Callable[[int, list[float]], None] | None = None,
    before: PreTrainedModel | None = None,
    weights: Weights = no_weights,
    drawn: Drawn = nothing_drawn,
) -> list[float]:
    """Train `model` in place; the loss of every optimiser step, nats per token.

    `model` already has its tuning applied. `progress` is told the share done after each step;
    `after_epoch` the number of epochs done and the losses so far, when `model` is what a training
    of so many epochs gives. `before` is read where the objective asks what a model says that is
    not trained: by default `model` itself, as it is when the training begins. `weights` and `drawn`
    give what objectives and recipes ask of other checkpoints.
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
                if progress:
                    progress(len(losses) / len(steps))
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
        packed = packing.readable(model) and arguments.world_size == 1
        trainer = OrderedTrainer(
            reader=packing.Reader(model, keep=settings.epochs > 1) if packed else None,
            objective=objective,
            before=head,
            precision=settings.precision,
            model=model,
            args=arguments,
            train_dataset=Steps(steps),
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)  # it prints every step's loss
        with packing.attention_by_row(model) if packed else nullcontext():
            trainer.hold = objective.begin(model, tokenizer, trainer.read, weights, drawn)
            trainer.train()
    return losses
