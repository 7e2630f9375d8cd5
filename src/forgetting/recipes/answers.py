"""A task's training questions, each with an answer of some origin: what all such recipes share."""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from forgetting.lineage import Checkpoint, Samples, Settings
from forgetting.models import causal, template
from forgetting.tasks import Example, Task, Turn

Document = dict[str, Any]


class Answer(NamedTuple):
    """What to answer, and where it comes from; without text, the question is left out."""

    text: str | None
    origin: str


@dataclass(frozen=True)
class Answers(ABC):
    """The first `settings.examples` training questions of `task` in the seed's order, answered.

    Which questions these are does not depend on the recipe: with one seed, every recipe answers
    the same ones, those that `rows.sft_rows` takes. A recipe may leave some out.
    """

    task: Task
    origin: ClassVar[str]

    @property
    def name(self) -> str:
        """The task's name and whose answers."""
        return f"{self.task.name}, {self.origin}"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoints whose words it shows."""
        return ()

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""
        return self.task.missing()

    def recipe(self) -> dict[str, Any]:
        """The task's recipe, and under `shown` what this recipe does with it."""
        return self.task.recipe() | {"shown": {"recipe": type(self).__name__, **self.settings()}}

    def settings(self) -> dict[str, Any]:
        """What the recipe's answers depend on beside the task, as plain JSON."""
        return {}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """What has to be generated first."""
        return ()

    @abstractmethod
    def answers(
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        """An answer for each document, in order."""

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """A row for each question that has an answer, cut at `settings.length`.

        Raises `causal.TooLittleText` where the task has too few questions, or none was answered.
        """
        documents = questions(self.task, tokenizer, settings, seed)
        found = self.answers(documents, tokenizer, settings, seed)
        rows = []
        for document, answer in zip(documents, found, strict=True):
            if answer.text is not None:
                example = self.task.example(document).answered(answer.text)
                row = causal.example_row(example, tokenizer, settings.length)
                assert row is not None  # its prompt leaves room
                rows.append(row)
        if not rows:
            raise causal.TooLittleText(
                f"{self.name}: none of {len(documents)} questions has an answer to learn from; "
                "more samples a question, or more examples"
            )
        return rows

    def report(self, tokenizer: Any, settings: Settings, seed: int) -> dict[str, Any]:
        """How many questions have an answer of each origin, and the answers' mean length in tokens.

        Lengths are before any cut; questions that are left out have none.
        """
        documents = questions(self.task, tokenizer, settings, seed)
        found = self.answers(documents, tokenizer, settings, seed)
        texts = [answer.text for answer in found if answer.text is not None]
        lengths = [len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
        return {
            "questions": len(documents),
            "origins": dict(sorted(Counter(answer.origin for answer in found).items())),
            "mean_tokens": round(sum(lengths) / max(1, len(lengths)), 2),
        }


@dataclass(frozen=True)
class Gold(Answers):
    """The task's own answers; `like` leaves out the questions that another recipe leaves out.

    A recipe that keeps only some questions is compared with gold answers to those same ones. With
    `same_length` an epoch supervises as many tokens as one of `like`, to half an answer: questions
    at the end are left out, or those at the beginning come twice.
    """

    like: Answers | None = None
    same_length: bool = False
    origin: ClassVar[str] = "gold"

    def __post_init__(self) -> None:
        if self.same_length and self.like is None:
            raise ValueError("same_length=True: say with like= as long as what")

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return self.like.parents if self.like else ()

    def settings(self) -> dict[str, Any]:
        if self.like is None:
            return {}
        found = {"like": self.like.recipe()["shown"]}
        return found | ({"same_length": True} if self.same_length else {})

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        return self.like.samples(settings, seed) if self.like else ()

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        rows = super().rows(tokenizer, settings, seed)
        if self.like is None or not self.same_length:
            return rows
        wanted = sum(map(_supervised, self.like.rows(tokenizer, settings, seed)))
        found: list[causal.Example] = []
        for row in itertools.cycle(rows):
            if wanted <= _supervised(row) / 2:
                return found or [row]
            found.append(row)
            wanted -= _supervised(row)
        raise AssertionError("rows are never empty")

    def answers(
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        gold = [Answer(self.task.example(document).answer, "gold") for document in documents]
        if self.like is None:
            return gold
        other = self.like.answers(documents, tokenizer, settings, seed)
        return [
            mine if theirs.text is not None else theirs
            for mine, theirs in zip(gold, other, strict=True)
        ]


@dataclass(frozen=True)
class Shuffled(Answers):
    """The control: right answers to other questions, each moved by one place in a drawn order."""

    origin: ClassVar[str] = "shuffled"

    def answers(
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        order = list(range(len(documents)))
        random.Random(f"shuffled {seed}").shuffle(order)
        gives = dict(zip(order, order[1:] + order[:1], strict=True))
        gold = [self.task.example(document).answer for document in documents]
        return [Answer(gold[gives[place]], "shuffled") for place in range(len(documents))]


@dataclass(frozen=True)
class WholeText(Answers):
    """Pre-train style on questions and answers: every token is supervised, the question's too.

    The chat template is left out: a text that states the question and then the answer, as a page of
    a manual would.
    """

    origin: ClassVar[str] = "whole text"

    def answers(
        self, documents: Sequence[Document], tokenizer: Any, settings: Settings, seed: int
    ) -> list[Answer]:
        return [Answer(self.task.example(document).answer, "gold") for document in documents]

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """The question, an empty line, the answer and the end token, cut at `settings.length`."""
        rows = []
        for document in questions(self.task, tokenizer, settings, seed):
            example = self.task.example(document)
            text = f"{example.question}\n\n{example.answer}"
            ids = [*template.ids(tokenizer, text), tokenizer.eos_token_id]
            rows.append(causal.whole_row(ids, settings.length))
        return rows


def _supervised(row: causal.Example) -> int:
    return int((row["labels"][1:] != causal.IGNORED).sum())


def questions(task: Task, tokenizer: Any, settings: Settings, seed: int) -> list[Document]:
    """The first `settings.rows` training documents whose prompt leaves room for an answer.

    Raises `causal.TooLittleText` where there are not so many.
    """
    found = []
    for document in task.training_documents(seed):
        if causal.example_row(task.example(document), tokenizer, settings.length) is not None:
            found.append(document)
            if len(found) == settings.rows:
                return found
    raise causal.TooLittleText(
        f"examples={settings.rows}: {task.name} has {len(found)} whose question leaves room in "
        f"{settings.length} tokens; lower examples or raise length"
    )


def asked(tokenizer: Any, example: Example, worked: Sequence[Example] = (), begun: str = "") -> str:
    """A question in the chat template after worked examples; `begun` begins the answer."""
    *before, question = example.turns
    for each in worked:
        before += [each.turns[-1], Turn("assistant", each.answer)]
    return template.chat(tokenizer, [*before, question]) + begun
