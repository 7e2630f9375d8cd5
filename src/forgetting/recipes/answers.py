"""A task's training questions, each with an answer of some origin: what all such recipes share."""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, ClassVar, NamedTuple

from forgetting.lineage import Checkpoint, Completion, Drawn, Samples, Settings
from forgetting.models import template
from forgetting.models.rows import Row, TooLittleText, example_row
from forgetting.recipes.base import OneTask, first_fitting
from forgetting.tasks import Example, Task, Turn

Document = dict[str, Any]

DRAWN = 32  # examples to choose shots from: the first of another order of the training documents
# An answer that speaks of its own making is not an answer (`verify` in SDFT's code).
BETRAYING = re.compile(
    r"reference answer|your response|my response|your own response|now it's your turn|\AYour turn",
    re.IGNORECASE,
)


class Answer(NamedTuple):
    """What to answer, and where it comes from; without text, the question is left out."""

    text: str | None
    origin: str


@dataclass(frozen=True)
class Answers(OneTask):
    """The first `settings.examples` training questions of `task` in the seed's order, answered.

    Which questions these are does not depend on the recipe: with one seed, every recipe answers
    the same ones, those that `rows.sft_rows` takes. A recipe may leave some out.
    """

    origin: ClassVar[str]

    @property
    def name(self) -> str:
        return f"{self.task.name}, {self.origin}"

    def recipe(self) -> dict[str, Any]:
        """The task's recipe, and under `shown` what this recipe does with it."""
        return self.task.recipe() | {"shown": {"recipe": type(self).__name__, **self.settings()}}

    def answers(
        self, documents: Sequence[Document], settings: Settings, seed: int, drawn: Drawn
    ) -> list[Answer]:
        """An answer for each document, in order; here the data set's own."""
        return [Answer(self.task.example(document).answer, "gold") for document in documents]

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """A row for each question that has an answer, cut at `settings.length`.

        Raises `rows.TooLittleText` where the task has too few questions, or none was answered.
        """
        documents = questions(self.task, tokenizer, settings, seed)
        rows = []
        answers = self.answers(documents, settings, seed, drawn)
        for document, answer in zip(documents, answers, strict=True):
            if answer.text is not None:
                example = self.task.example(document).answered(answer.text)
                row = example_row(example, tokenizer, settings.length)
                assert row is not None  # its prompt leaves room
                rows.append(row)
        if not rows:
            raise TooLittleText(
                f"{self.name}: none of {len(documents)} questions has an answer to learn from; "
                "more samples a question, or more examples"
            )
        return rows

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many questions have an answer of each origin, and the answers' mean length in tokens.

        Lengths are before any cut; questions that are left out have none.
        """
        documents = questions(self.task, tokenizer, settings, seed)
        answers = self.answers(documents, settings, seed, drawn)
        texts = [answer.text for answer in answers if answer.text is not None]
        lengths = [len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
        return {
            "questions": len(documents),
            "origins": dict(sorted(Counter(answer.origin for answer in answers).items())),
            "mean_tokens": round(sum(lengths) / max(1, len(lengths)), 2),
        }


@dataclass(frozen=True)
class Written(Answers):
    """Answers out of what the checkpoint `of` writes; all other fields say how it is asked."""

    of: Checkpoint

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of,)

    def settings(self) -> dict[str, Any]:
        how = {field.name: getattr(self, field.name) for field in fields(self)}
        del how["task"]
        return how | {"of": self.of.key}

    @abstractmethod
    def samples(self, settings: Settings, seed: int) -> tuple[Samples]:
        """The one drawing: some completions for each question."""

    def written(self, settings: Settings, seed: int, drawn: Drawn) -> list[list[Completion]]:
        """All answers, a list for each question."""
        (samples,) = self.samples(settings, seed)
        return drawn(samples)


@dataclass(frozen=True)
class Questions:
    """Prompts: one for each of the questions that `Answers` answers."""

    task: Task
    settings: Settings
    seed: int

    def recipe(self) -> dict[str, Any]:
        return {
            "task": self.task.recipe(),
            "examples": self.settings.rows,
            "length": self.settings.length,
            "seed": self.seed,
        }

    def examples(self, tokenizer: Any) -> list[Example]:
        documents = questions(self.task, tokenizer, self.settings, self.seed)
        return [self.task.example(document) for document in documents]


@dataclass(frozen=True)
class Asking(Questions):
    """Prompts: the questions themselves, after `shots` worked examples that are none of them."""

    shots: int = 0

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"prompts": "asking", "shots": self.shots}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        examples = self.examples(tokenizer)
        shown = {example.question for example in examples}
        others = self.task.training_examples(self.seed + 1)
        worked = (example for example in others if example.question not in shown)
        by_length = sorted(islice(worked, DRAWN), key=lambda e: len(e.question + e.answer))
        return [asked(tokenizer, example, by_length[: self.shots]) for example in examples]


def questions(task: Task, tokenizer: Any, settings: Settings, seed: int) -> list[Document]:
    """The first `settings.rows` training documents whose prompt leaves room for an answer.

    Raises `rows.TooLittleText` where there are not so many.
    """
    return first_fitting(
        task,
        settings,
        (
            document
            for document in task.training_documents(seed)
            if example_row(task.example(document), tokenizer, settings.length) is not None
        ),
    )


def asked(tokenizer: Any, example: Example, worked: Sequence[Example] = (), begun: str = "") -> str:
    """A question in the chat template after worked examples; `begun` begins the answer."""
    *before, question = example.turns
    for each in worked:
        before += [each.turns[-1], Turn("assistant", each.answer)]
    return template.chat(tokenizer, [*before, question]) + begun


def why_not(task: Task, document: Document, text: str, ended: bool) -> str | None:
    """Why a model's answer is not shown, in two words; None where it is."""
    if not text.strip():
        return "empty"
    if BETRAYING.search(text):
        return "betrays itself"
    if not ended:
        return "no end"
    if task.is_right(document, text) is False:
        return "wrong"
    return None
