"""Rehearsal: old examples among the new ones, real (experience replay) or written by a model."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.engine import compute
from forgetting.lineage import Checkpoint, Recipe, Samples, Settings
from forgetting.models import causal, template
from forgetting.objectives import OLD
from forgetting.tasks import Task

Shown = Task | Recipe


@dataclass(frozen=True)
class Rehearsed:
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
        """What is new, and how much is old."""
        return f"{self.new.name}, {self.ratio:g} rehearsed"

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoints whose words are shown."""
        shown = (self.new, *self.old)
        return tuple(p for one in shown if not isinstance(one, Task) for p in one.parents)

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""
        return [name for one in (self.new, *self.old) for name in one.missing()]

    def recipe(self) -> dict[str, Any]:
        """The new task's recipe, and under `shown` what is rehearsed."""
        new = self.new.recipe()
        old = [one.recipe() for one in self.old]
        rehearsed = {"recipe": "Rehearsed", "ratio": self.ratio, "old": old}
        return new | {"shown": rehearsed | {"new": new.get("shown", {})}}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """What has to be generated first."""
        return [
            wanted
            for one, part in self._parts(settings)
            if not isinstance(one, Task)
            for wanted in one.samples(part, seed)
        ]

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """The new rows and the old ones, shuffled."""
        (new, whole), *old = self._parts(settings)
        rows = causal.rows_of(new, tokenizer, whole, seed)
        for one, part in old:
            found = causal.rows_of(one, tokenizer, part, seed)
            rows += [row | {"part": torch.tensor(OLD)} for row in found]
        random.Random(f"rehearsed {seed}").shuffle(rows)
        return rows

    def report(self, tokenizer: Any, settings: Settings, seed: int) -> dict[str, Any]:
        """How many rows are new and old, and what each recipe says of its own."""
        (_, whole), *old = self._parts(settings)
        rehearsed = (len(causal.rows_of(one, tokenizer, part, seed)) for one, part in old)
        counts = {"new": whole.rows, "old": sum(rehearsed)}
        own = {
            one.name: one.report(tokenizer, part, seed)
            for one, part in self._parts(settings)
            if not isinstance(one, Task)
        }
        return counts | own

    def _parts(self, settings: Settings) -> list[tuple[Shown, Settings]]:
        """Each thing that is shown, with settings that say how much of it."""
        each = math.ceil(settings.rows * self.ratio / len(self.old))
        own = settings.recipe() | {"examples": each, "epochs": 1}
        own.pop("tokens", None)
        return [(self.new, settings), *((one, Settings(**own)) for one in self.old)]


@dataclass(frozen=True)
class Together:
    """Several things at once, `settings.rows` examples of each, in a drawn order: multitask."""

    shown: tuple[Shown, ...]

    @property
    def name(self) -> str:
        """What is shown."""
        return " and ".join(one.name for one in self.shown)

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoints whose words are shown."""
        return tuple(p for one in self.shown if not isinstance(one, Task) for p in one.parents)

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""
        return [name for one in self.shown for name in one.missing()]

    def recipe(self) -> dict[str, Any]:
        """The first one's name and, under `shown`, all of them."""
        every = [one.recipe() for one in self.shown]
        return every[0] | {"shown": {"recipe": "Together", "shown": every}}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """What has to be generated first."""
        recipes = [one for one in self.shown if not isinstance(one, Task)]
        return [wanted for one in recipes for wanted in one.samples(settings, seed)]

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """All rows, shuffled."""
        rows = [row for one in self.shown for row in causal.rows_of(one, tokenizer, settings, seed)]
        random.Random(f"together {seed}").shuffle(rows)
        return rows

    def report(self, tokenizer: Any, settings: Settings, seed: int) -> dict[str, Any]:
        """What each recipe says of its own."""
        recipes = [one for one in self.shown if not isinstance(one, Task)]
        return {one.name: one.report(tokenizer, settings, seed) for one in recipes}


@dataclass(frozen=True)
class Opening:
    """Prompts: the same opening words, `count` times."""

    text: str
    count: int

    def recipe(self) -> dict[str, Any]:
        return {"prompts": "opening", "text": self.text, "count": self.count}

    def texts(self, tokenizer: Any) -> list[str]:
        text = template.empty_turn(tokenizer) if self.text == EMPTY_TURN else self.text
        return [text or template.start(tokenizer)] * self.count


# What a chat model sees before a user speaks (Magpie: Xu et al. 2025, arXiv 2406.08464). Keys name
# it by ChatML's, each model is given its own template's.
EMPTY_TURN = "<|im_start|>user\n"


@dataclass(frozen=True)
class FreeText:
    """What a checkpoint writes when nobody asks: replay without any old data.

    From nothing but the first token (Marek et al. 2026, arXiv 2605.26097), or, with
    `opening=EMPTY_TURN`, from the chat template's empty user turn (Magpie), where it writes a
    user's question; the answer to it is drawn on in the same text. Every token written is
    supervised, the opening is not.
    """

    of: Checkpoint
    opening: str = ""
    temperature: float = 1.0
    top_p: float | None = None
    KIND: ClassVar[str] = "free text"

    @property
    def name(self) -> str:
        """How the text begins."""
        return "empty turn" if self.opening == EMPTY_TURN else self.KIND

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """Whose text it is."""
        return (self.of,)

    def missing(self) -> list[str]:
        """Nothing: it needs no data."""
        return []

    def recipe(self) -> dict[str, Any]:
        """What the texts depend on."""
        own = {"of": self.of.key, "opening": self.opening, "temperature": self.temperature}
        return {"task": self.name, "shown": {"recipe": "FreeText", **own, "top_p": self.top_p}}

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """As many texts as rows are wanted, as long as a row."""
        return (
            Samples(
                self.of,
                Opening(self.opening, settings.rows),
                max_new_tokens=settings.length - 16,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=seed,
            ),
        )

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[causal.Example]:
        """One text a row; texts that are empty are left out."""
        (wanted,) = self.samples(settings, seed)
        rows = []
        for opening, written in zip(
            wanted.prompts.texts(tokenizer), compute.samples(wanted), strict=True
        ):
            ids = [*written[0].ids, *[tokenizer.eos_token_id] * written[0].ended]
            row = causal.continued(causal.prompt_row(opening, tokenizer), ids, settings.length)
            if row is not None and written[0].ids:
                rows.append(row)
        return rows

    def report(self, tokenizer: Any, settings: Settings, seed: int) -> dict[str, Any]:
        """How many texts, how many ended by themselves, and their mean length in tokens."""
        (wanted,) = self.samples(settings, seed)
        written = [one for (one,) in compute.samples(wanted)]
        lengths = [len(one.ids) for one in written]
        return {
            "texts": len(written),
            "ended": sum(one.ended for one in written),
            "mean_tokens": round(sum(lengths) / len(lengths), 2),
        }
