"""Few-shot: the same examples with their right answers stand before every question."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from forgetting.adaptation.base import Write, recipe_of
from forgetting.adaptation.memory import Memory, Remembered, checked
from forgetting.method import method
from forgetting.tasks import Task


@method(
    title="The same examples before every question (few-shot)",
    idea="Somebody who knows the answers wrote down a few. They stand before every question, and "
    "nothing is learned on the way.",
    equation=r"\hat y_t \sim \pi(\cdot \mid (x_1, y_1), \ldots, (x_k, y_k), x_t)",
    cost="A longer prompt, the same for every question: its keys and values are computed once.",
    use="As what a memory has to beat that nobody filled by hand.",
    citations=("wu2024streambench",),
    colour="#0072B2",
    marker="H",
)
@dataclass(frozen=True)
class FewShot:
    """`k` training examples of `task`, drawn by `seed`, with their own answers.

    Wu et al. 2024 (arXiv 2406.08747) take 16 of a validation set.
    """

    kind: ClassVar[str] = "FewShot"

    task: Task
    k: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        checked(self.kind, self.k)

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Memory:
        examples = islice(self.task.training_examples(self.seed), self.k)
        shots = [Remembered(e.question, e.answer, True) for e in examples]
        return Fixed(write, self.k, kept=shots)


class Fixed(Memory):
    """A memory that nothing is added to."""

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        self.told += 1
