"""Training: one thin subclass of `transformers.Trainer`, deterministic given a seed."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from forgetting import packing
from forgetting.lineage import Settings
from forgetting.objectives import IGNORED, cross_entropy, head_cross_entropy
from forgetting.tasks import Task

Example = dict[str, torch.Tensor]


class TooLittleText(ValueError):
    """The task's training split holds less than the settings ask for."""


@dataclass
class Steps(Dataset):
    """The token rows of each optimiser step, in the order in which they are trained on."""

    steps: list[list[Example]]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> list[Example]:
        return self.steps[index]


def pretrain_rows(
    task: Task, tokenizer: PreTrainedTokenizerBase, settings: Settings, seed: int
) -> list[Example]:
    """Documents in an order drawn from `seed`, joined by the end token, cut into equal rows.

    Every token is supervised; the remainder is dropped (Li & Lee 2024's preparation). Rows are
    (length,) tensors. Raises `TooLittleText` where the task's training split is too short.
    """
    wanted = settings.rows
    rows, buffer = [], []
    for text in task.training_texts(seed):
        buffer += [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        while len(buffer) >= settings.length:
            ids = torch.tensor(buffer[: settings.length])
            rows.append({"input_ids": ids, "labels": ids.clone()})
            buffer = buffer[settings.length :]
            if len(rows) == wanted:
                return rows
    amount = "tokens" if settings.examples is None else "examples"
    raise TooLittleText(
        f"{amount}={getattr(settings, amount)}: {task.name} has training text for {len(rows)} "
        f"rows of {settings.length} tokens, {wanted} are asked for; lower {amount} or name a "
        "larger task"
    )


def sft_rows(
    task: Task, tokenizer: PreTrainedTokenizerBase, settings: Settings, seed: int
) -> list[Example]:
    """One example a row, asked as the task asks it; the answer and its end token are supervised.

    That is the chat template, or the plain prompt for tasks that are tested without one.
    Rows are cut at `settings.length`. Where `tokens` says how many, they cycle through the data
    until all are made; `examples` must be different ones, or `TooLittleText` is raised.
    """
    wanted = settings.rows
    rows: list[Example] = []
    while len(rows) < wanted:
        before = len(rows)
        for prompt, answer in task.training_pairs(seed):
            if task.chat:
                turn = [{"role": "user", "content": prompt}]
                prompt = str(
                    tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
                )
            else:
                answer = task.config.get("target_delimiter", " ") + answer
            prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
            answer_ids = tokenizer(answer, add_special_tokens=False).input_ids
            ids = [*prompt_ids, *answer_ids, tokenizer.eos_token_id][: settings.length]
            if len(prompt_ids) >= len(ids):
                continue  # the prompt alone fills the row: nothing to supervise
            labels = [IGNORED] * len(prompt_ids) + ids[len(prompt_ids) :]
            rows.append({"input_ids": torch.tensor(ids), "labels": torch.tensor(labels)})
            if len(rows) == wanted:
                return rows
        if len(rows) == before:
            raise TooLittleText(
                f"length={settings.length}: no example of {task.name} leaves room for its answer"
            )
        if settings.examples is not None:
            raise TooLittleText(
                f"examples={wanted}: {task.name} has {len(rows)} whose answer fits in "
                f"{settings.length} tokens; lower examples or raise length"
            )
    return rows


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


def pack(rows: list[Example]) -> dict[str, Any]:
    """A batch for `packing.Reader`: the rows' ids one after another, (tokens,), and their lengths.

    `wanted` is the token that each should predict, -100 where none is supervised.
    """
    end = torch.tensor([IGNORED])
    return {
        "input_ids": torch.cat([row["input_ids"] for row in rows]),
        "wanted": torch.cat([part for row in rows for part in (row["labels"][1:], end)]),
        "lengths": [len(row["input_ids"]) for row in rows],
    }


def pad(rows: list[Example]) -> Example:
    """A batch for any other model: ids padded on the right with 0, labels with -100, and a mask."""
    from torch.nn.utils.rnn import pad_sequence

    ids = pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    labels = pad_sequence([row["labels"] for row in rows], batch_first=True, padding_value=IGNORED)
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


class OrderedTrainer(Trainer):
    """`transformers.Trainer` with our objective, over steps already in their order.

    With a `reader` batches are packed, and logits are made at supervised tokens alone.
    """

    def __init__(self, reader: packing.Reader | None, **given: Any) -> None:
        super().__init__(**given, data_collator=lambda steps: (pack if reader else pad)(steps[0]))
        self.reader = reader

    def compute_loss(  # type: ignore[override]
        self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        if self.reader is None:
            labels = inputs.pop("labels")
            return cross_entropy(model(**inputs, use_cache=False).logits, labels)
        supervised = inputs["wanted"] != IGNORED
        hidden = self.reader(inputs["input_ids"], inputs["lengths"])
        return head_cross_entropy(
            hidden[supervised], self.reader.head.weight, inputs["wanted"][supervised]
        )

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    settings: Settings,
    seed: int,
    progress: Callable[[float], None] | None = None,
    after_epoch: Callable[[int, list[float]], None] | None = None,
) -> list[float]:
    """Train `model` in place; the loss of every optimiser step, nats per token.

    `model` already has its tuning applied. `progress` is told the share done after each step;
    `after_epoch` the number of epochs done and the losses so far, when `model` is what a training
    of so many epochs gives.
    """
    set_seed(seed)
    make_rows = pretrain_rows if settings.style == "pretrain" else sft_rows
    rows = make_rows(task, tokenizer, settings, seed)
    losses: list[float] = []

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                losses.append(float(logs["loss"]))
                if progress:
                    progress(len(losses) / settings.steps)
                if after_epoch and len(losses) % settings.epoch_steps == 0:
                    after_epoch(len(losses) // settings.epoch_steps, list(losses))

    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=1,  # the data set's items are whole steps
            max_steps=settings.steps,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant",
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
            remove_unused_columns=False,
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # a step is one batch, never one a device
        packed = packing.readable(model) and arguments.world_size == 1
        trainer = OrderedTrainer(
            reader=packing.Reader(model, keep=settings.epochs > 1) if packed else None,
            model=model,
            args=arguments,
            train_dataset=Steps(steps_of(rows, settings, seed)),
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)  # it prints every step's loss
        with packing.attention_by_row(model) if packed else nullcontext():
            trainer.train()
    return losses
