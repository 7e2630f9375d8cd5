"""Several things that are shown in one training, in a drawn order: what such recipes share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from forgetting.lineage import Checkpoint, Drawn, Recipe, Samples, Settings
from forgetting.models.rows import Row, rows_of
from forgetting.tasks import Task

Shown = Task | Recipe


class Mixture(ABC):
    """Tasks and recipes, some examples of each."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Shown, ...]:
        """What is shown."""

    @abstractmethod
    def amounts(self, settings: Settings) -> list[Settings]:
        """For each part, settings that say how much of it."""

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return tuple(p for part in self.parts if not isinstance(part, Task) for p in part.parents)

    def missing(self) -> list[str]:
        return [name for part in self.parts for name in part.missing()]

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        return [
            samples
            for part, amount in self._recipes(settings)
            for samples in part.samples(amount, seed)
        ]

    def rows_by_part(
        self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn
    ) -> list[list[Row]]:
        """The rows of each part."""
        pairs = zip(self.parts, self.amounts(settings), strict=True)
        return [rows_of(part, tokenizer, own, seed, drawn) for part, own in pairs]

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """What each recipe says of its own."""
        return {
            part.name: part.report(tokenizer, amount, seed, drawn)
            for part, amount in self._recipes(settings)
        }

    def _recipes(self, settings: Settings) -> list[tuple[Recipe, Settings]]:
        pairs = zip(self.parts, self.amounts(settings), strict=True)
        return [(part, amount) for part, amount in pairs if not isinstance(part, Task)]
