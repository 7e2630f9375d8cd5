"""Answers that the text model wrote of a description (DeSTA2: Lu et al. 2025, arXiv 2409.20007)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from forgetting.lineage import Drawn, Samples, Settings
from forgetting.method import method
from forgetting.recipes.answers import Answer, Document, Questions, Written, asked, questions
from forgetting.tasks import Task


@dataclass(frozen=True)
class Reading(Questions):
    """Prompts: the same documents' questions as the task `by` asks them."""

    by: Task

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"prompts": "reading", "by": self.by.recipe()}

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        documents = questions(self.task, tokenizer, self.settings, self.seed)
        return [asked(tokenizer, self.by.example(document)) for document in documents]


@method(
    name="described",
    title="Answers to a description",
    idea="A recording is described in words, and the text model answers what will be asked about "
    "the recording from these. Its answer becomes the target, so that nothing but hearing is "
    "taught: how to answer it knows.",
    equation=r"y' \sim \pi_0(\cdot \mid d, x), \qquad L = -\frac{1}{|y'|}\sum_t \log "
    r"\pi_\theta(y'_t \mid a, x, y'_{<t})",
    cost="A description of every recording, and an answer drawn for each question.",
    use="Where a text model is given ears or eyes; it needs to be right about what it reads.",
    citations=("lu2024desta2",),
    colour="#009E73",
    marker="^",
)
@dataclass(frozen=True)
class Described(Written):
    """The greedy answers of `of`, a text model, to the questions as the task `by` words them.

    Documents of both tasks are the same, and `by` shows in words what `task` lets hear. An answer
    that is empty leaves its question out; none is graded, as in the paper.
    """

    by: Task = field(kw_only=True)
    max_new_tokens: int = 40
    origin: ClassVar[str] = "described"

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"by": self.by.recipe()}

    def samples(self, settings: Settings, seed: int) -> tuple[Samples]:
        prompts = Reading(self.task, settings, seed, self.by)
        return (Samples(self.of, prompts, self.max_new_tokens, seed=seed),)

    def answers(
        self, documents: Sequence[Document], settings: Settings, seed: int, drawn: Drawn
    ) -> list[Answer]:
        written = [completion.text.strip() for (completion,) in self.written(settings, seed, drawn)]
        return [Answer(text, self.origin) if text else Answer(None, "empty") for text in written]
