"""What checkpoints write, and what trainings are shown: steps of the graph beside the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from forgetting import checking
from forgetting.checking import BadValue
from forgetting.store import hash_key

if TYPE_CHECKING:
    from forgetting.lineage.checkpoint import Checkpoint
    from forgetting.lineage.settings import Settings

# Raised when the same recipe would no longer give the same samples.
SAMPLING_VERSION = 1


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt.

    `ids` are its tokens, without the end token; `text` has no special tokens and stops before the
    first stop string; `ended` is False where `max_new_tokens` cut it. `nats` is the negative
    log-likelihood of all that was drawn, an end token included, at temperature 1.
    """

    ids: list[int]
    text: str
    ended: bool
    nats: float = field(default=0.0, compare=False)  # rounding depends on the batch

    @property
    def perplexity(self) -> float:
        """exp of the mean nats a token drawn."""
        return math.exp(self.nats / max(1, len(self.ids) + self.ended))


class Prompts(Protocol):
    """What a model is asked to go on from."""

    def recipe(self) -> dict[str, Any]:
        """What the texts depend on, as plain JSON."""

    def texts(self, tokenizer: Any, drawn: Drawn) -> list[str]:
        """The prompts, with whatever chat template they need already applied."""


@dataclass(frozen=True)
class Samples:
    """What a checkpoint writes after prompts: a step of the graph, generated once.

    `per_prompt` completions of each prompt, drawn as `Family.answer` says, with seeds of
    their own.
    """

    kind: ClassVar[str] = "samples"

    of: Checkpoint
    prompts: Prompts
    max_new_tokens: int
    per_prompt: int = 1
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    until: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "per_prompt"):
            checking.whole(name, getattr(self, name), 1)
        checking.seed(self.seed)
        checking.instance("prompts", self.prompts, "recipe")
        if not 0 <= self.temperature < math.inf:
            raise BadValue(f"temperature={self.temperature}: 0 or a finite number above it")

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.of,)

    def recipe(self) -> dict[str, Any]:
        """What the samples depend on, as plain JSON."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        own |= {"of": self.of.key, "prompts": self.prompts.recipe(), "until": list(self.until)}
        return {"step": self.kind, "version": SAMPLING_VERSION, **own}

    @cached_property
    def key(self) -> str:
        """20 hexadecimal digits of the sha256 over the canonical JSON of `recipe()`."""
        return hash_key(self.recipe())


# What was written for samples, a list of completions for each prompt; the engine hands it in.
Drawn = Callable[[Samples], list[list[Completion]]]


def nothing_drawn(samples: Samples) -> list[list[Completion]]:
    """What is drawn where no engine is at hand: raises `LookupError`."""
    raise LookupError(f"samples of {samples.of!r}: nobody draws here; hand in `compute.samples`")


@runtime_checkable
class Recipe(Protocol):
    """What a training step is shown where that is not a task's own training split: see `recipes`.

    Examples may depend on what checkpoints wrote; what they wrote are steps of the graph too.
    """

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoints whose words it shows."""

    def missing(self) -> list[str]:
        """Public data sets that it needs and that are not at hand."""

    def recipe(self) -> dict[str, Any]:
        """What the examples depend on, beside the settings and the seed of the training."""

    def samples(self, settings: Settings, seed: int) -> Sequence[Samples]:
        """What has to be generated before a training with these settings."""

    def rows(
        self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn
    ) -> list[dict[str, Any]]:
        """The examples, as `rows.example_row` makes them; `drawn` gives what `samples` asks for."""

    def report(self, tokenizer: Any, settings: Settings, seed: int, drawn: Drawn) -> dict[str, Any]:
        """What became of what was generated, for the record; plain JSON."""
