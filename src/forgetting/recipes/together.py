"""Several tasks at once: multitask training, the comparison from above."""

import random
from dataclasses import dataclass
from typing import Any

from forgetting.lineage import Drawn, Settings
from forgetting.method import method
from forgetting.models.rows import Row
from forgetting.recipes.mixture import Mixture, Shown


@method(
    title="All tasks at once",
    see="InForm",
    colour="#7A7A7A",
    marker="o",
)
@dataclass(frozen=True)
class Together(Mixture):
    """Several things at once, `settings.rows` examples of each, in a drawn order: multitask."""

    shown: tuple[Shown, ...]

    @property
    def name(self) -> str:
        return " and ".join(part.name for part in self.shown)

    @property
    def parts(self) -> tuple[Shown, ...]:
        return self.shown

    def amounts(self, settings: Settings) -> list[Settings]:
        return [settings for _ in self.shown]

    def recipe(self) -> dict[str, Any]:
        """The first one's name and, under `shown`, all of them."""
        every = [part.recipe() for part in self.shown]
        return every[0] | {"shown": {"recipe": "Together", "shown": every}}

    def rows(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> list[Row]:
        """All rows, shuffled."""
        parts = self.rows_by_part(tokenizer, settings, seed, drawn)
        rows = [row for part in parts for row in part]
        random.Random(f"together {seed}").shuffle(rows)
        return rows
