"""The control of every recipe: answers that are right, to other questions."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from forgetting.lineage import Drawn, Settings
from forgetting.method import method
from forgetting.recipes.answers import Answer, Answers, Document


@method(
    title="Shuffled answers",
    see="Gold",
    colour="#7A7A00",
    marker="*",
)
@dataclass(frozen=True)
class Shuffled(Answers):
    """The control: right answers to other questions, each moved by one place in a drawn order."""

    origin: ClassVar[str] = "shuffled"

    def answers(
        self, documents: Sequence[Document], settings: Settings, seed: int, drawn: Drawn
    ) -> list[Answer]:
        order = list(range(len(documents)))
        random.Random(f"shuffled {seed}").shuffle(order)
        gives = dict(zip(order, order[1:] + order[:1], strict=True))
        gold = super().answers(documents, settings, seed, drawn)
        return [Answer(gold[gives[place]].text, self.origin) for place in range(len(gold))]
