"""Causal language models: how they read examples, as rows of tokens."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from forgetting.lineage import Drawn, Recipe, Settings, nothing_drawn
from forgetting.tasks import Task

IGNORED = -100  # the label of a token that is not supervised
# A row's part: what is learned, what is to be kept, a text together with its question.
TARGET, OLD, WHOLE = 0, 1, 2


# input_ids and labels, (length,) each. A recipe may add `part`, `weights` (one a supervised token),
# `teacher_ids`: what the untrained model reads in its place, a row that ends with its tokens; and
# `also`: more rows of the same example, which stand in the same step.
Example = dict[str, Any]


class TooLittleText(ValueError):
    """The task's training split holds less than the settings ask for."""


def rows_of(
    shown: Task | Recipe,
    tokenizer: PreTrainedTokenizerBase,
    settings: Settings,
    seed: int,
    drawn: Drawn = nothing_drawn,
) -> list[Example]:
    """The different examples that a training goes through, `settings.rows` of them.

    `drawn` gives what models wrote, where a recipe shows that.
    """
    if isinstance(shown, Recipe):
        return shown.rows(tokenizer, settings, seed, drawn)
    make = pretrain_rows if settings.style == "pretrain" else sft_rows
    return make(shown, tokenizer, settings, seed)


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
        for pair in task.training_pairs(seed):
            row = sft_row(task, tokenizer, pair, settings.length)
            if row is None:
                continue
            rows.append(row)
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


def sft_row(
    task: Task, tokenizer: PreTrainedTokenizerBase, pair: tuple[str, str], length: int
) -> Example | None:
    """(prompt, answer) as one row of at most `length` tokens; None if the prompt alone fills it."""
    prompt, answer = pair
    if task.chat:
        turn = [{"role": "user", "content": prompt}]
        prompt = str(
            tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        )
    else:
        answer = task.config.get("target_delimiter", " ") + answer
    prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
    answer_ids = tokenizer(answer, add_special_tokens=False).input_ids
    ids = [*prompt_ids, *answer_ids, tokenizer.eos_token_id][:length]
    if len(prompt_ids) >= len(ids):
        return None
    labels = [IGNORED] * len(prompt_ids) + ids[len(prompt_ids) :]
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels)}
