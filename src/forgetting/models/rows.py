"""Rows of tokens: what a model reads and what it is to write, whatever kind of model it is.

A row's first tokens are read, the others written; a decoder-only model sees them one after
another, an encoder-decoder the first in its encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import PreTrainedTokenizerBase

from forgetting.lineage.samples import Drawn, Recipe, nothing_drawn
from forgetting.models import template
from forgetting.tasks import HEARD, Example, Task

if TYPE_CHECKING:
    from forgetting.lineage import Settings

Item = TypeVar("Item")

IGNORED = -100  # the label of a token that is not supervised
TOKENS_A_BATCH = 2048
# A row's part: what is learned, what is to be kept, a text together with its question.
TARGET, OLD, WHOLE = 0, 1, 2
# input_ids and labels, (length,) each; a first token's label says nothing. `frames` are heard,
# (frames, channels) each, before the tokens at `places`. A recipe may add `part`, `weights` (one a
# supervised token), `teacher_ids`: what the untrained model reads in its place, a row that ends
# with its tokens; and `also`: more rows of the same example, which stand in the same step. `read`
# is how many tokens are read, where some of those that are written are not supervised.
Row = dict[str, Any]


class TooLittleText(ValueError):
    """The task's training split holds less than the settings ask for."""


def rows_of(
    shown: Task | Recipe,
    tokenizer: PreTrainedTokenizerBase,
    settings: Settings,
    seed: int,
    drawn: Drawn = nothing_drawn,
) -> list[Row]:
    """The `settings.rows` different rows of a training; `drawn` gives what models wrote for it."""
    if isinstance(shown, Recipe):
        return shown.rows(tokenizer, settings, seed, drawn)
    make = pretrain_rows if settings.style == "pretrain" else sft_rows
    return make(shown, tokenizer, settings, seed)


def pretrain_rows(
    task: Task, tokenizer: PreTrainedTokenizerBase, settings: Settings, seed: int
) -> list[Row]:
    """Documents in an order drawn from `seed`, joined by the end token, cut into equal rows.

    Every token is supervised but those that begin a text: nobody asks for them. The remainder is
    dropped (Li & Lee 2024's preparation). A row that begins within a document begins with the
    beginning-of-text token too, where texts do. Raises `TooLittleText` where the task's training
    split is too short.
    """
    rows: list[Row] = []
    ids: list[int] = []
    labels: list[int] = []
    begin, end = template.begin(tokenizer), template.end(tokenizer)
    for text in task.training_texts(seed):
        tokens = template.ids(tokenizer, text)
        ids += [*tokens, end]
        labels += [IGNORED] * len(begin) + [*tokens[len(begin) :], end]
        while len(ids) >= settings.length:
            rows.append(_cut(ids, labels, settings.length))
            ids, labels = ids[settings.length :], labels[settings.length :]
            if ids and ids[: len(begin)] != begin:
                ids, labels = [*begin, *ids], [IGNORED] * len(begin) + labels
            if len(rows) == settings.rows:
                return rows
    amount = "tokens" if settings.examples is None else "examples"
    raise TooLittleText(
        f"{amount}={getattr(settings, amount)}: {task.name} has training text for {len(rows)} "
        f"rows of {settings.length} tokens, {settings.rows} are asked for; lower {amount} or name "
        "a larger task"
    )


def sft_rows(
    task: Task, tokenizer: PreTrainedTokenizerBase, settings: Settings, seed: int
) -> list[Row]:
    """One example a row, asked as the task asks it; the answer and its end token are supervised.

    Rows are cut at `settings.length`. Where `tokens` says how many, they cycle through the data
    until all are made; `examples` must be different ones, or `TooLittleText` is raised.
    """
    rows: list[Row] = []
    while True:
        before = len(rows)
        for example in task.training_examples(seed):
            if row := example_row(example, tokenizer, settings.length):
                rows.append(row)
                if len(rows) == settings.rows:
                    return rows
        if len(rows) == before:
            raise TooLittleText(
                f"length={settings.length}: no example of {task.name} leaves room for its answer"
            )
        if settings.examples is not None:
            raise TooLittleText(
                f"examples={settings.rows}: {task.name} has {len(rows)} whose answer fits in "
                f"{settings.length} tokens; lower examples or raise length"
            )


def example_row(example: Example, tokenizer: PreTrainedTokenizerBase, length: int) -> Row | None:
    """An example as one row of at most `length` tokens; None if its turns alone fill it."""
    answer = example.answer if example.chat else example.delimiter + example.answer
    before = template.prompt(tokenizer, example).rpartition(HEARD)[2]
    written = template.answer_ids(tokenizer, before, answer)
    end = template.end(tokenizer, chat=example.chat)
    return continued(asked_row(example, tokenizer), [*written, end], length)


def asked_row(example: Example, tokenizer: PreTrainedTokenizerBase) -> Row:
    """What is read and heard before an example's answer, as a row; nothing is supervised."""
    frames = [frame for turn in example.turns for frame in turn.frames]
    return prompt_row(template.prompt(tokenizer, example), tokenizer, frames)


def prompt_row(
    prompt: str | Sequence[int], tokenizer: PreTrainedTokenizerBase, frames: Sequence[Any] = ()
) -> Row:
    """A prompt, a text or token ids, as a row of which nothing is supervised."""
    ids: Sequence[Any] = prompt
    places: list[int] = []
    if isinstance(prompt, str):
        ids, places = template.heard_ids(tokenizer, prompt, frames)
    tokens = torch.tensor(list(ids), dtype=torch.long)
    row = {"input_ids": tokens, "labels": torch.full_like(tokens, IGNORED)}
    heard = [torch.as_tensor(frame, dtype=torch.float32) for frame in frames]
    return row | {"frames": heard, "places": places} if heard else row


def continued(row: Row, written: Sequence[int], length: int | None = None) -> Row | None:
    """A prompt's row and tokens to write, cut at `length`; None where none of these is left."""
    added = torch.tensor(list(written), dtype=torch.long)
    ids, labels = (torch.cat([row[name], added])[:length] for name in ("input_ids", "labels"))
    if len(ids) <= len(row["input_ids"]):
        return None
    return row | {"input_ids": ids, "labels": labels}


def shortened(row: Row, length: int) -> Row:
    """The last `length` tokens of a prompt's row."""
    cut = max(0, len(row["input_ids"]) - length)
    shorter = {name: row[name][cut:] for name in ("input_ids", "labels")}
    places = [max(0, place - cut) for place in row.get("places", [])]
    return row | shorter | ({"places": places} if places else {})


def whole_row(ids: list[int], length: int) -> Row:
    """Tokens that are all supervised, cut at `length`."""
    return _cut(ids, ids, length)


def _cut(ids: list[int], labels: list[int], length: int) -> Row:
    return {"input_ids": torch.tensor(ids[:length]), "labels": torch.tensor(labels[:length])}


def supervised(row: Row) -> torch.Tensor:
    """(length - 1,) booleans: whether each token but the first is supervised."""
    return row["labels"][1:] != IGNORED


def read_tokens(row: Row) -> int:
    """How many tokens of a row are read, at least one; the others are written."""
    if "read" in row:
        return row["read"]
    at = supervised(row).nonzero()
    return 1 + int(at[0]) if len(at) else len(row["labels"])


def batches(
    items: Iterable[Item], size: Callable[[Item], int], budget: int = TOKENS_A_BATCH
) -> list[list[Item]]:
    """Items, in order of size, in batches of at most `budget` tokens with padding."""
    parts: list[list[Item]] = []
    for item in items:
        if parts and (len(parts[-1]) + 1) * max(size(parts[-1][0]), size(item)) <= budget:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts
