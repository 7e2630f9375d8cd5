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
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from forgetting.checking import BadValue
from forgetting.lineage.samples import Recipe
from forgetting.lineage.settings import Settings
from forgetting.lineage.steps import Graft, Linear, Merge, MergeMethod, Step, Train, Value
from forgetting.models import foundations
from forgetting.models.foundations import Foundation
from forgetting.store import hash_key
from forgetting.tasks import Task

Terms = tuple[tuple[float, "Checkpoint"], ...]
LONGEST_TEXT = 300  # characters of a parent's text within a checkpoint's; a longer one is its key


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model as the recipe that makes it. Equal recipes are equal checkpoints."""

    step: Foundation | Step

    def recipe(self) -> dict[str, Any]:
        """One link of the chain as plain JSON: the step, its parameters, its parents' keys."""
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
        return self.step.parents

    @property
    def origin(self) -> Checkpoint:
        """What its model is built like: the last graft among its first parents, or the root."""
        origin = self
        while origin.parents and not isinstance(origin.step, Graft):
            origin = origin.parents[0]
        return origin

    @property
    def root(self) -> Checkpoint:
        """What nobody here trained, at the end of the line of first parents."""
        root = self
        while root.parents:
            root = root.parents[0]
        return root

    @property
    def foundation(self) -> Foundation:
        """Where tokenizer, template, special tokens and configuration come from: the root's."""
        step = self.root.step
        assert isinstance(step, Foundation), f"{step!r} has no parents and is no foundation"
        return step

    @property
    def still(self) -> Checkpoint:
        """The first checkpoint that has its weights: what is asked of weights is asked of it."""
        same = None if isinstance(self.step, Foundation) else self.step.same_weights
        return self if same is None else same.still

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
        tune: Value | None = None,
        objective: Value | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> Checkpoint:
        """This model, taught a task or what a recipe shows. `settings` are fields of `Settings`.

        `tune` says what may move (default: everything), `objective` what is asked for (default:
        next-token cross-entropy). Raises `BadValue` for an unknown or impossible setting, and for a
        class in place of its instance.
        """
        return Checkpoint(Train(self, shown, tune, Settings(**settings), seed, objective))

    def graft(self, other: Checkpoint, connector: Value, *, seed: int = 0) -> Checkpoint:
        """This model with a part of `other` before it, behind a connector drawn from `seed`."""
        return Checkpoint(Graft(self, other, connector, seed))

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
        """The sum. Its tokenizer and configuration are those of the first operand left in it."""
        if not isinstance(vector, TaskVector):
            raise TypeError(
                "checkpoint + checkpoint is not a model; "
                "add a difference: base + 0.5 * (chat - base)"
            )
        terms = _collect(((1.0, self), *vector.terms))
        if len(terms) == 1 and terms[0][0] == 1.0:
            return terms[0][1]
        factors, operands = zip(*terms, strict=True)
        return Checkpoint(Merge(operands, Linear(factors)))

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
        texts: dict[str, str] = {}
        for key, checkpoint in self.ancestors().items():
            below = [(parent.key, texts[parent.key]) for parent in checkpoint.parents]
            short = (text if len(text) <= LONGEST_TEXT else f"…{key[:8]}" for key, text in below)
            texts[key] = checkpoint.step.text(*short)
        return texts[self.key]


@dataclass(frozen=True, eq=False)
class TaskVector:
    """τ = θ_tuned - θ_before (Ilharco et al. 2023, arXiv 2212.04089): coefficients add up to 0."""

    terms: Terms = ()

    def __add__(self, other: TaskVector) -> TaskVector:
        return TaskVector(_collect((*self.terms, *other.terms)))

    def __sub__(self, other: TaskVector) -> TaskVector:
        return self + (-other)

    def __neg__(self) -> TaskVector:
        return self * -1.0

    def __mul__(self, factor: float) -> TaskVector:
        if not isinstance(factor, int | float) or not math.isfinite(factor):
            raise BadValue(f"factor={factor!r}: a task vector is scaled by a finite number")
        return TaskVector(_collect((factor * c, checkpoint) for c, checkpoint in self.terms))

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskVector) and set(other.terms) == set(self.terms)


def foundation(name: str) -> Checkpoint:
    """The checkpoint nobody here trained: a packaged model, a hub id or a local folder.

    After a colon stands the chat template that a base model is given, as `models.foundations` says.
    """
    return Checkpoint(foundations.resolve(name))


def merge(base: Checkpoint, models: Sequence[Checkpoint], how: MergeMethod) -> Checkpoint:
    """`models` merged into `base` by a method of `merging`, say TIES; for sums write sums.

    Tokenizer, template, special tokens and configuration are the base's. Raises `ValueError` where
    there is no model, or where vocabularies differ.
    """
    if not models:
        raise ValueError(f"models={models!r}: {how!r} merges at least one into the base")
    return Checkpoint(Merge((base, *models), how))


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
        if isinstance(checkpoint.step, Merge) and (inner := checkpoint.step.terms):
            yield from _opened((factor * of, parent) for of, parent in inner)
        else:
            yield factor, checkpoint


def _collect(terms: Iterable[tuple[float, Checkpoint]]) -> Terms:
    """Sums opened up, terms of the same checkpoint added, zeros dropped, in order of writing."""
    totals: dict[Checkpoint, float] = {}
    for factor, checkpoint in _opened(terms):
        totals[checkpoint] = totals.get(checkpoint, 0.0) + factor
    return tuple((factor, checkpoint) for checkpoint, factor in totals.items() if factor != 0.0)
