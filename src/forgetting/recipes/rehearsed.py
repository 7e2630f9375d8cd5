"""Rehearsal: old examples among the new ones, real (experience replay) or written by a model."""

import math
import random
from dataclasses import dataclass
from typing import Any

import torch

from forgetting.lineage import Drawn, Settings
from forgetting.method import method
from forgetting.models.rows import OLD, Row
from forgetting.recipes.mixture import Mixture, Shown


@method(
    name="experience-replay",
    title="Experience replay",
    idea="A few real examples of every earlier task stand among those of the new one.",
    equation=r"L = \mathbb{E}_{\text{new}}[\ell] + \text{the same over a share } \rho \text{ of "
    r"old examples}",
    cost="The old examples, and as much training as their share.",
    use="Whenever old examples may be kept. How few suffice depends on the tasks: measure it.",
    citations=("huang2024mitigating", "chen2026onpolicy"),
    colour="#2FB58A",
    marker="o",
)
@dataclass(frozen=True)
class Rehearsed(Mixture):
    """What is new, and for every example of it `ratio` examples of what is old, in a drawn order.

    The old ones come in equal parts from each of `old`, rounded up. They are marked `OLD`: plain
    cross-entropy learns them like the others, `objectives.KeepClose` keeps the model close to what
    it said on them. A ratio of 0.01 to 0.2 is usual (experience replay: Rolnick et al. 2019, arXiv
    1811.11682).
    """

    new: Shown
    old: tuple[Shown, ...]
    ratio: float

    def __post_init__(self) -> None:
        if not self.old or not 0 < self.ratio <= 10:
            raise ValueError(f"ratio={self.ratio}, old={self.old}: more than 0, of something")

    @property
    def name(self) -> str:
        return f"{self.new.name}, {self.ratio:g} rehearsed"

    @property
    def parts(self) -> tuple[Shown, ...]:
        return (self.new, *self.old)

    def amounts(self, settings: Settings) -> list[Settings]:
        each = math.ceil(settings.rows * self.ratio / len(self.old))
        own = settings.recipe() | {"examples": each, "epochs": 1}
        own.pop("tokens", None)
        return [settings, *(Settings(**own) for _ in self.old)]

    def recipe(self) -> dict[str, Any]:
        """The new task's recipe, and under `shown` what is rehearsed."""
        new = self.new.recipe()
        old = [part.recipe() for part in self.old]
        rehearsed = {"recipe": "Rehearsed", "ratio": self.ratio, "old": old}
        return new | {"shown": rehearsed | {"new": new.get("shown", {})}}

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """The new rows and the old ones, shuffled."""
        rows, *old = self.rows_by_part(tokenizer, settings, seed, drawn)
        rows += [row | {"part": torch.tensor(OLD)} for part in old for row in part]
        random.Random(f"rehearsed {seed}").shuffle(rows)
        return rows

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """How many rows are new and old, and what each recipe says of its own."""
        _, *old = self.rows_by_part(tokenizer, settings, seed, drawn)
        counts = {"new": settings.rows, "old": sum(map(len, old))}
        return counts | super().report(tokenizer, settings, seed, drawn)
