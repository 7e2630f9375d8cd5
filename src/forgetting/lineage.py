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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forgetting import models
from forgetting.models import Foundation
from forgetting.store import hash_key
from forgetting.tasks import Task
from forgetting.tuning import Full, Tuning

# Raised when the same recipe would no longer give the same weights.
TRAINING_VERSION = 1
MERGING_VERSION = 1


class Settings(BaseModel):
    """How a training step runs. Rates per step, lengths and amounts in tokens.

    Defaults follow Li & Lee (2024)'s configuration file where a laptop allows it: constant rate,
    AdamW with β (0.9, 0.95), ε 1e-5, weight decay 0.1, gradient norm clipped at 1. They trained on
    1 billion tokens in steps of 4 million; a laptop has thousands in steps of hundreds.

    The amount is `tokens`, or `examples` and how many `epochs` each of them is seen in. The rate
    is constant, so a training of two epochs is the beginning of one of four.
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
        return self.model_dump(mode="json", exclude=silent)


@dataclass(frozen=True)
class Train:
    """parent, taught `task`, with `tune` saying what may move."""

    parent: Checkpoint
    task: Task
    tune: Tuning
    settings: Settings
    seed: int

    def recipe(self) -> dict[str, Any]:
        return {
            "step": "train",
            "version": TRAINING_VERSION,
            "parent": self.parent.key,
            "task": self.task.recipe(),
            "tune": self.tune.recipe(),
            "settings": self.settings.recipe(),
            "seed": self.seed,
        }


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
        unnamed = [self]  # a merge names its parents when it is made, so these are one chain
        while above := [p for p in unnamed[-1].parents if "key" not in vars(p)]:
            unnamed += above
        for checkpoint in reversed(unnamed[1:]):
            _ = checkpoint.key  # from the root upwards: no recursion, however long the chain
        return hash_key(self.recipe())

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoints this one is made from."""
        if isinstance(self.step, Train):
            return (self.step.parent,)
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
        self, task: Task, *, tune: Tuning | None = None, seed: int = 0, **settings: Any
    ) -> Checkpoint:
        """This model, taught `task`. `settings` are fields of `Settings`.

        Raises pydantic's `ValidationError` for an unknown or impossible setting.
        """
        step = Train(self, task, tune or Full(), Settings(**settings), seed)
        return Checkpoint(step)

    def after(self, epochs: int) -> Checkpoint:
        """This training as it stood after `epochs` of its epochs: a recipe of its own.

        Raises `ValueError` for what was not trained, or not for so long.
        """
        most = self.step.settings.epochs if isinstance(self.step, Train) else 0
        if not isinstance(self.step, Train) or not 1 <= epochs <= most:
            raise ValueError(f"epochs={epochs}: {self!r} was trained for {most}")
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
            return f"{s.parent!r}.train({s.task.name!r}, {s.tune!r}, {rate}, seed={s.seed})"
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


def in_order(checkpoints: Iterable[Checkpoint]) -> Iterator[Checkpoint]:
    """Every checkpoint that these rest on, and these: each once, parents before children."""
    seen: dict[int, Checkpoint] = {}  # by identity: a key is cheap only once the parents have one
    named: set[str] = set()
    for last in checkpoints:
        stack = [(last, False)]
        while stack:
            checkpoint, parents_done = stack.pop()
            if parents_done:
                if checkpoint.key not in named:
                    named.add(checkpoint.key)
                    yield checkpoint
            elif id(checkpoint) not in seen:
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
