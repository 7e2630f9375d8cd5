"""LAMOL's form of an example: a question, a token of its own, the answer (Sun et al. 2020, §3.1).

    learned as an answer     context question ANS answer EOS        loss on the answer and EOS
    learned as a text    GEN context question ANS answer EOS        loss on everything after GEN

GEN is one token for all tasks, or one for each of them. After GEN alone a model writes examples.
The authors add these tokens to the vocabulary; here they are taken from those that the vocabulary
has and that no text uses (`marks`). Between context and question stands a line break, as in the
tasks' own templates; the authors put nothing there.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from forgetting.models import template
from forgetting.models.rows import IGNORED, TARGET, WHOLE, Row
from forgetting.tasks import Task

ANSWER_WEIGHT = 5.0  # of the answer token in the text's loss, as the authors' code has it
ANSWER_WORD = "\nAnswer:"  # what stands in the answer token's place in a task's own template
FEWEST_MARKS = 2


class Example(NamedTuple):
    """Token ids of a context with its question, and of the answer to it."""

    question: list[int]
    answer: list[int]


def marks(tokenizer: Any) -> list[str]:
    """Strings that are one token each and stand in no text: the answer's, then those to begin with.

    They are special tokens without a use in the chat template (SmolLM2 has 14), and after them
    control characters that are a token (a tokenizer over bytes has them, GPT-2's too). Tokens that
    were added and are not special are a text's own: runs of spaces, tags. Raises `ValueError` where
    there are fewer than two.
    """
    used = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
    template = tokenizer.chat_template or ""
    added = [token for _, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
    special = [str(t) for t in added if str(t) not in used and str(t) not in template]
    control = [chr(code) for code in (*range(1, 9), *range(14, 32)) if chr(code) not in special]
    single = [t for t in (*special, *control) if len(_ids(tokenizer, t)) == 1]
    if len(single) < FEWEST_MARKS:
        raise ValueError(f"tokenizer: {len(single)} tokens that no text uses; LAMOL needs two")
    return single


def answer_token(tokenizer: Any) -> int:
    """The id of the token that separates question and answer."""
    return _ids(tokenizer, marks(tokenizer)[0])[0]


def question(task: Task, document: dict[str, Any]) -> str:
    """The context and the question of a document, as the task's template writes them."""
    return task.example(document).question.removesuffix(ANSWER_WORD)


def prompt(tokenizer: Any, task: Task, document: dict[str, Any]) -> str:
    """What is asked at test time: context, question, answer token."""
    return question(task, document) + marks(tokenizer)[0]


def example(tokenizer: Any, task: Task, document: dict[str, Any]) -> Example:
    """A document of a task as token ids."""
    return encoded(tokenizer, question(task, document), task.example(document).answer)


def encoded(tokenizer: Any, question: str, answer: str) -> Example:
    return Example(_ids(tokenizer, question), _ids(tokenizer, answer))


def split(ids: list[int], answer_token: int) -> Example | None:
    """What was written after a generation token as an example; None unless one answer token splits.

    The authors' filter, all of it: parts may be empty, and texts that were cut off are kept.
    """
    if ids.count(answer_token) != 1:
        return None
    at = ids.index(answer_token)
    return Example(ids[:at], ids[at + 1 :])


def answer_rows(tokenizer: Any, examples: Iterable[Example], length: int) -> list[Row]:
    """An `answer_row` for each example that has one."""
    rows = (answer_row(tokenizer, example, length) for example in examples)
    return [row for row in rows if row is not None]


def answer_row(tokenizer: Any, example: Example, length: int) -> Row | None:
    """The row that teaches the answer: (≤ length,) ids, the answer and its end supervised.

    A question that is too long loses its beginning; None where the answer leaves it no room.
    """
    begin = template.begin(tokenizer)
    cut = _cut(example, length - len(begin))
    if cut is None:
        return None
    asked = [*begin, *cut.question, answer_token(tokenizer)]
    answered = [*cut.answer, template.end(tokenizer)]
    return {
        "input_ids": torch.tensor([*asked, *answered]),
        "labels": torch.tensor([IGNORED] * len(asked) + answered),
        "part": torch.tensor(TARGET),
    }


def text_row(tokenizer: Any, example: Example, begin: str, length: int) -> Row | None:
    """The row that teaches to write the whole example after the token `begin`.

    Every token after it is supervised, the answer token with a weight of 5.
    """
    first = template.begin(tokenizer)
    cut = _cut(example, length - len(first))
    if cut is None:
        return None
    middle = answer_token(tokenizer)
    text = [*cut.question, middle, *cut.answer, template.end(tokenizer)]
    return {
        "input_ids": torch.tensor([*first, *_ids(tokenizer, begin), *text]),
        "labels": torch.tensor([IGNORED] * (len(first) + 1) + text),
        "part": torch.tensor(WHOLE),
        "weights": torch.tensor([ANSWER_WEIGHT if token == middle else 1.0 for token in text]),
    }


def _cut(example: Example, length: int) -> Example | None:
    room = length - len(example.answer) - 3  # GEN, ANS and EOS
    return Example(example.question[-room:], example.answer) if room > 0 else None


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids
