"""The data set's own answers."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.lineage import Checkpoint, Drawn, Samples, Settings
from forgetting.method import method
from forgetting.models.rows import Row, supervised
from forgetting.recipes.answers import Answer, Answers, Document


@method(
    name="ground-truth",
    title="The answers of the data set",
    idea="Each question comes with the answer that its data set has, and the model learns the "
    "answer's words. It is what everything else on these pages is compared with.",
    equation=r"L = -\frac{1}{|y|}\sum_t \log \pi_\theta(y_t \mid x, y_{<t})",
    cost="None beside the training.",
    use="As the baseline; restrict it to the same questions where another recipe leaves questions "
    "out.",
    citations=("yang2024selfdistillation",),
    colour="#777777",
    marker="o",
)
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
        own = {"like": self.like.recipe()["shown"]}
        return own | ({"same_length": True} if self.same_length else {})

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        return self.like.samples(settings, seed) if self.like else ()

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        rows = super().rows(tokenizer, settings, seed, drawn)
        if self.like is None or not self.same_length:
            return rows
        tokens = sum(map(_tokens, self.like.rows(tokenizer, settings, seed, drawn)))
        as_long: list[Row] = []
        for row in itertools.cycle(rows):
            if tokens <= _tokens(row) / 2:
                return as_long or [row]
            as_long.append(row)
            tokens -= _tokens(row)
        raise AssertionError("rows are never empty")

    def answers(
        self, documents: Sequence[Document], settings: Settings, seed: int, drawn: Drawn
    ) -> list[Answer]:
        gold = super().answers(documents, settings, seed, drawn)
        if self.like is None:
            return gold
        others = self.like.answers(documents, settings, seed, drawn)
        pairs = zip(gold, others, strict=True)
        return [other if other.text is None else own for own, other in pairs]


def _tokens(row: Row) -> int:
    return int(supervised(row).sum())
