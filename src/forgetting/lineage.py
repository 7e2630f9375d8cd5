"""A checkpoint is a value, and its lineage is its name.

    base = foundation("smollm2-135m")                      # where a model comes from
    chat = base.train(Task("alignment"))                   # what it was taught
    cp   = base.train(Task("zh_news"), tune=FreezeFirst(10))  # which weights were allowed to move
    new  = cp + 1.0 * (chat - base)                        # what was done to the weights afterwards

Nothing here computes a weight. A checkpoint holds the recipe of how it came to be; its key is a
hash over that recipe and the keys of its parents (a Merkle chain). Same recipe, same key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forgetting import models
from forgetting.models import Foundation
from forgetting.objectives import CrossEntropy, Objective
from forgetting.store import hash_key
from forgetting.tasks import Task
from forgetting.tuning import Full, Tuning

# Raised when the same recipe would no longer give the same weights, or the same samples.
TRAINING_VERSION = 1
MERGING_VERSION = 1
SAMPLING_VERSION = 1


class Settings(BaseModel):
    """How a training step runs. Rates per step, lengths and amounts in tokens.

    Defaults follow Li & Lee (2024)'s configuration file where a laptop allows it: constant rate,
    AdamW with β (0.9, 0.95), ε 1e-5, weight decay 0.1, gradient norm clipped at 1. They trained on
    1 billion tokens in steps of 4 million; a laptop has thousands in steps of hundreds.

    The amount is `tokens`, or `examples` and how many `epochs` each of them is seen in. The rate
    is constant, so a training of two epochs is the beginning of one of four; unless it rises over
    the share `warmup` of the steps, or with `decay` falls in a line to 0 at the last.

    With `precision` "bfloat16" products and attention are made in it (Micikevicius et al. 2018);
    weights, moments, norms and losses stay in float32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    style: Literal["pretrain", "sft"] = "pretrain"
    learning_rate: float = Field(3e-4, gt=0, le=1)
    tokens: int = Field(8192, ge=16)
    examples: int | None = Field(None, ge=1)
    epochs: int = Field(1, ge=1)
    length: int = Field(256, ge=8)
    batch: int = Field(2, ge=1)
    weight_decay: float = Field(0.1, ge=0)
    beta2: float = Field(0.95, gt=0, lt=1)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(1.0, gt=0)
    warmup: float = Field(0.0, ge=0, lt=1)
    decay: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if self.examples is not None and "tokens" in self.model_fields_set:
            raise ValueError(f"examples={self.examples}: tokens={self.tokens} is given; name one")
        if self.examples is None and self.epochs != 1:
            raise ValueError(f"epochs={self.epochs}: of how many examples? name `examples`")
        return self

    @property
    def rows(self) -> int:
        """Different places in the data: `examples`, or as many rows as `tokens` fill."""
        return self.examples or self.batch * max(1, self.tokens // (self.batch * self.length))

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps an epoch: rows ÷ batch, rounded up."""
        return math.ceil(self.rows / self.batch)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.epoch_steps

    def recipe(self) -> dict[str, Any]:
        """What enters a lineage key: the fields that say something, in one way only."""
        silent = {"examples", "epochs"} if self.examples is None else {"tokens"}
        silent |= {name for name in ("warmup", "decay") if not getattr(self, name)}
        silent |= {"precision"} if self.precision == "float32" else set()
        return self.model_dump(mode="json", exclude=silent)

    @property
    def scheduled(self) -> bool:
        """Whether the rate depends on how long the whole training is."""
        return bool(self.warmup or self.decay)


class Prompts(Protocol):
    """What a model is asked to go on from."""

    def recipe(self) -> dict[str, Any]:
        """What the texts depend on, as plain JSON."""

    def texts(self, tokenizer: Any) -> list[str]:
        """The prompts, with whatever chat template they need already applied."""


@dataclass(frozen=True)
class Samples:
    """What a checkpoint writes after prompts: a step of the graph, generated once.

    `per_prompt` completions of each prompt, drawn as `generation.generate` says, with seeds of
    their own.
    """

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
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: samples need at least 1")

    def recipe(self) -> dict[str, Any]:
        """What the samples depend on, as plain JSON."""
        return {
            "step": "samples",
            "version": SAMPLING_VERSION,
            "of": self.of.key,
            "prompts": self.prompts.recipe(),
            "max_new_tokens": self.max_new_tokens,
            "per_prompt": self.per_prompt,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "until": list(self.until),
            "seed": self.seed,
        }

    @cached_property
    def key(self) -> str:
        """20 hexadecimal digits of the sha256 over the canonical JSON of `recipe()`."""
        return hash_key(self.recipe())


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

    def rows(self, tokenizer: Any, settings: Settings, seed: int) -> list[dict[str, Any]]:
        """The examples, as `training.sft_row` makes them."""

    def report(self, tokenizer: Any, settings: Settings, seed: int) -> dict[str, Any]:
        """What became of what was generated, for the record; plain JSON."""


@dataclass(frozen=True)
class Train:
    """parent, shown a task or a recipe, with `tune` saying what may move, `objective` what for."""

    parent: Checkpoint
    shown: Task | Recipe
    tune: Tuning
    settings: Settings
    seed: int
    objective: Objective = field(default_factory=CrossEntropy)

    def recipe(self) -> dict[str, Any]:
        usual = self.objective == CrossEntropy()
        return {
            "step": "train",
            "version": TRAINING_VERSION,
            "parent": self.parent.key,
            "task": self.shown.recipe(),
            "tune": self.tune.recipe(),
            "settings": self.settings.recipe(),
            "seed": self.seed,
        } | ({} if usual else {"objective": self.objective.recipe()})

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoint that is trained, then those whose words it is shown."""
        others = () if isinstance(self.shown, Task) else self.shown.parents
        return (self.parent, *others)

    @property
    def samples(self) -> tuple[Samples, ...]:
        """What has to be generated before it."""
        if isinstance(self.shown, Task):
            return ()
        return tuple(self.shown.samples(self.settings, self.seed))


@dataclass(frozen=True)
class Merge:
    """A sum of checkpoints' weights whose coefficients add up to one."""

    terms: tuple[tuple[float, Checkpoint], ...]

    def recipe(self) -> dict[str, Any]:
        return {
            "step": "merge",
            "version": MERGING_VERSION,
            "terms": sorted([checkpoint.key, factor] for factor, checkpoint in self.terms),
        }


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model as the recipe that makes it. Equal recipes are equal checkpoints."""

    step: Foundation | Train | Merge

    def recipe(self) -> dict[str, Any]:
        """One link of the chain as plain JSON: the step, its parameters, its parents' keys."""
        if isinstance(self.step, Foundation):
            return {"step": "foundation", "digest": self.step.digest}
        return self.step.recipe()

    @cached_property
    def key(self) -> str:
        """20 hexadecimal digits of the sha256 over the canonical JSON of `recipe()`."""
        for _ in in_order(self.parents, keyless=True):
            pass  # each gets its key, from the root upwards: no recursion, however long the chain
        return hash_key(self.recipe())

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoints this one is made from."""
        if isinstance(self.step, Train):
            return self.step.parents
        if isinstance(self.step, Merge):
            return tuple(checkpoint for _, checkpoint in self.step.terms)
        return ()

    @property
    def foundation(self) -> Foundation:
        """The foundation at the root (merges need one architecture, so the first root stands)."""
        first = self
        while not isinstance(first.step, Foundation):
            first = first.parents[0]
        return first.step

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return self.foundation.facts["layers"]

    def ancestors(self) -> dict[str, Checkpoint]:
        """Every checkpoint this one rests on, by key, itself last."""
        return {checkpoint.key: checkpoint for checkpoint in in_order([self])}

    def lineage(self) -> dict[str, dict[str, Any]]:
        """Every recipe this checkpoint rests on, by key, its own last."""
        return {key: checkpoint.recipe() for key, checkpoint in self.ancestors().items()}

    def train(
        self,
        shown: Task | Recipe,
        *,
        tune: Tuning | None = None,
        objective: Objective | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> Checkpoint:
        """This model, taught a task or what a recipe shows. `settings` are fields of `Settings`.

        Raises pydantic's `ValidationError` for an unknown or impossible setting.
        """
        given = Settings(**settings)
        return Checkpoint(
            Train(self, shown, tune or Full(), given, seed, objective or CrossEntropy())
        )

    def after(self, epochs: int) -> Checkpoint:
        """This training as it stood after `epochs` of its epochs: a recipe of its own.

        Raises `ValueError` for what was not trained, or not for so long, or with a rate that
        depends on how long.
        """
        most = self.step.settings.epochs if isinstance(self.step, Train) else 0
        if not isinstance(self.step, Train) or not 1 <= epochs <= most:
            raise ValueError(f"epochs={epochs}: {self!r} was trained for {most}")
        if self.step.settings.scheduled and epochs < most:
            raise ValueError(f"epochs={epochs}: the rate of {self!r} was made for {most}")
        settings = self.step.settings.model_copy(update={"epochs": epochs})
        return Checkpoint(replace(self.step, settings=settings))

    def __sub__(self, other: Checkpoint | TaskVector) -> Any:
        if isinstance(other, Checkpoint):
            return TaskVector(((1.0, self), (-1.0, other)))
        return self + (-other)

    def __add__(self, vector: TaskVector) -> Checkpoint:
        if not isinstance(vector, TaskVector):
            raise TypeError(
                "checkpoint + checkpoint is not a model; "
                "add a difference: base + 0.5 * (chat - base)"
            )
        terms = _collect(((1.0, self), *vector.terms))
        if len(terms) == 1 and terms[0][0] == 1.0:
            return terms[0][1]
        return Checkpoint(Merge(terms))

    def __mul__(self, factor: float) -> Checkpoint:
        raise TypeError(
            f"{factor} * checkpoint is not a model; scale a difference: base + 0.5 * (chat - base)"
        )

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        if isinstance(self.step, Foundation):
            return f"foundation({self.step.name!r})"
        if isinstance(self.step, Train):
            s = self.step
            rate = f"{s.settings.learning_rate:g}"
            return f"{s.parent!r}.train({s.shown.name!r}, {s.tune!r}, {rate}, seed={s.seed})"
        return " + ".join(f"{factor:g}*({checkpoint!r})" for factor, checkpoint in self.step.terms)


@dataclass(frozen=True)
class TaskVector:
    """τ = θ_tuned - θ_before (Ilharco et al. 2023, arXiv 2212.04089): coefficients add up to 0."""

    terms: tuple[tuple[float, Checkpoint], ...] = field(default=())

    def __add__(self, other: TaskVector) -> TaskVector:
        return TaskVector(_collect((*self.terms, *other.terms)))

    def __sub__(self, other: TaskVector) -> TaskVector:
        return self + (-other)

    def __neg__(self) -> TaskVector:
        return self * -1.0

    def __mul__(self, factor: float) -> TaskVector:
        if not math.isfinite(factor):
            raise ValueError(f"factor={factor}: a task vector is scaled by a finite number")
        return TaskVector(_collect((factor * c, checkpoint) for c, checkpoint in self.terms))

    __rmul__ = __mul__


def foundation(name: str) -> Checkpoint:
    """The checkpoint nobody here trained: `smollm2-135m`, `tiny`, a hub id or a local folder."""
    return Checkpoint(models.resolve(name))


def in_order(checkpoints: Iterable[Checkpoint], *, keyless: bool = False) -> Iterator[Checkpoint]:
    """Every checkpoint that these rest on, and these: each once, parents before children.

    Depth first, which `graphlib` is not: what a process begins it ends before it begins another.
    With `keyless`, those that have their key already are left out, and what they rest on.
    """
    seen: dict[int, Checkpoint] = {}  # by identity: a key is cheap only once the parents have one
    keys: set[str] = set()
    for last in checkpoints:
        stack = [(last, False)]
        while stack:
            checkpoint, parents_done = stack.pop()
            if parents_done:
                if checkpoint.key not in keys:
                    keys.add(checkpoint.key)
                    yield checkpoint
            elif id(checkpoint) not in seen and not (keyless and "key" in vars(checkpoint)):
                seen[id(checkpoint)] = checkpoint
                stack.append((checkpoint, True))
                stack += [(parent, False) for parent in reversed(checkpoint.parents)]


def _opened(terms: Iterable[tuple[float, Checkpoint]]) -> Iterator[tuple[float, Checkpoint]]:
    for factor, checkpoint in terms:
        if isinstance(checkpoint.step, Merge):
            yield from _opened((factor * inner, parent) for inner, parent in checkpoint.step.terms)
        else:
            yield factor, checkpoint


def _collect(
    terms: Iterable[tuple[float, Checkpoint]],
) -> tuple[tuple[float, Checkpoint], ...]:
    """Merges opened up, terms of the same checkpoint added, zeros dropped, in order of key."""
    totals: dict[Checkpoint, float] = {}
    for factor, checkpoint in _opened(terms):
        totals[checkpoint] = totals.get(checkpoint, 0.0) + factor
    kept = ((factor, checkpoint) for checkpoint, factor in totals.items() if factor != 0.0)
    return tuple(sorted(kept, key=lambda term: term[1].key))
