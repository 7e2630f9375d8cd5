"""Steps: what was done to get from some checkpoints to the next.

A step is a frozen value. Its `kind` is written down once and stands in its recipe, so that a class
can be renamed and no key changes. `engine.compute.weights` knows how to compute each kind; another
kind is a subclass of `Step` with a function registered there, in one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from forgetting import checking
from forgetting.lineage.samples import Recipe, Samples
from forgetting.lineage.settings import Settings
from forgetting.models import vocabularies
from forgetting.tasks import Task

if TYPE_CHECKING:
    from forgetting.lineage.checkpoint import Checkpoint

# What a recipe says where nothing is given: everything moves, for the next token's sake.
EVERYTHING = {"kind": "Full"}
NEXT_TOKEN = {"objective": "CrossEntropy"}


class Value(Protocol):
    """What enters a recipe as plain JSON: a tuning, an objective, a connector."""

    def recipe(self) -> dict[str, Any]:
        """What it is and with which parameters."""


class Played(Value, Protocol):
    """A stream that is put to a System: `probes.streams`."""

    def weights(self, step: Adapt) -> dict[str, Any]:
        """All weights that it leaves, by name."""


@dataclass(frozen=True)
class Step:
    """Base class of the steps: a frozen dataclass with a `kind` of its own.

    `doing` is what people are told while it runs. `costs` says whether its weights are stored, for
    they take long to compute; otherwise they are computed whenever they are read. `version` is
    raised when the same recipe would no longer give the same weights.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    doing: ClassVar[str] = "computing"

    @property
    def costs(self) -> bool:
        return False

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """What it starts from. Tokenizer, template and end tokens are those of the first one."""
        raise NotImplementedError

    @property
    def samples(self) -> tuple[Samples, ...]:
        """What has to be generated before it."""
        return ()

    @property
    def same_weights(self) -> Checkpoint | None:
        """The parent whose very weights it has; None where it has its own."""
        return None

    def recipe(self) -> dict[str, Any]:
        """Plain JSON: the kind as `step`, the parameters, the parents' keys."""
        own = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return {"step": self.kind, "version": self.version, **own}

    def text(self, *parents: str) -> str:
        """The step for people, given the text of each parent."""
        return f"{self.kind}({', '.join(parents)})"


def _plain(value: Any) -> Any:
    """A checkpoint is its key in a recipe, what has a recipe is that, anything else itself."""
    if hasattr(value, "key"):
        return value.key
    return value.recipe() if hasattr(value, "recipe") else value


@dataclass(frozen=True)
class Train(Step):
    """parent, shown a task or a recipe, with `tune` saying what may move, `objective` what for.

    Without `tune` everything moves; without `objective` it is next-token cross-entropy.
    """

    kind: ClassVar[str] = "train"
    doing: ClassVar[str] = "training"

    parent: Checkpoint
    shown: Task | Recipe
    tune: Value | None
    settings: Settings
    seed: int
    objective: Value | None = None

    def __post_init__(self) -> None:
        checking.instance("parent", self.parent, "recipe")
        checking.instance("shown", self.shown, "recipe")
        for name, value, method in (
            ("tune", self.tune, "apply"),
            ("objective", self.objective, "loss"),
        ):
            if value is not None:
                checking.instance(name, value, "recipe", method)
        checking.seed(self.seed)

    def recipe(self) -> dict[str, Any]:
        recipe = super().recipe()
        recipe["task"] = recipe.pop("shown")
        recipe["tune"] = recipe["tune"] or EVERYTHING
        if recipe["objective"] in (None, NEXT_TOKEN):
            del recipe["objective"]
        return recipe

    @property
    def costs(self) -> bool:
        return True

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        """The checkpoint that is trained, then those whose words it is shown."""
        others = () if isinstance(self.shown, Task) else self.shown.parents
        return (self.parent, *others)

    @property
    def samples(self) -> tuple[Samples, ...]:
        if isinstance(self.shown, Task):
            return ()
        return tuple(self.shown.samples(self.settings, self.seed))

    def text(self, *parents: str) -> str:
        tune = repr(self.tune) if self.tune else "Full()"
        rate = f"{self.settings.learning_rate:g}"
        return f"{parents[0]}.train({self.shown.name!r}, {tune}, {rate}, seed={self.seed})"


class MergeMethod(Protocol):
    """How weights become other weights: a frozen value, a file each in `merging`.

    `costs` says whether the result is stored. Methods that take longer than reading it should.
    """

    @property
    def costs(self) -> bool: ...

    def recipe(self) -> dict[str, Any]:
        """What enters a key: the method's written-down name, and its parameters."""

    def merge(self, base: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Weights by name from those of the first operand and of the others, all float32.

        All have the same names and shapes. A pure function: operands are left as they are.
        """


@dataclass(frozen=True)
class Linear:
    """Σ cᵢ·θᵢ with a factor an operand; they add up to one. `merging.linear` is the sum."""

    costs: ClassVar[bool] = False

    factors: tuple[float, ...]


@dataclass(frozen=True)
class Merge(Step):
    """Several checkpoints' weights made into one, by `how`; operands in the order of writing.

    The first operand gives tokenizer, chat template, special tokens and configuration. Raises
    `ValueError` where the operands' vocabularies differ.
    """

    kind: ClassVar[str] = "merge"
    doing: ClassVar[str] = "merging"

    operands: tuple[Checkpoint, ...]
    how: Linear | MergeMethod

    def __post_init__(self) -> None:
        for operand in self.operands:
            checking.instance("models", operand, "recipe")
        checking.instance("how", self.how)
        first, *others = (operand.foundation for operand in self.operands)
        for other in others:
            vocabularies.require_one_vocabulary(first, other)

    def recipe(self) -> dict[str, Any]:
        head = {"step": self.kind, "version": self.version}
        if isinstance(self.how, Linear):
            terms = sorted([operand.key, factor] for factor, operand in self.terms)
            return head | {"terms": terms} | self._tokenizer()
        return head | {"how": self.how.recipe(), "of": [operand.key for operand in self.operands]}

    def _tokenizer(self) -> dict[str, str]:
        """Whose it is, where that makes a difference: a sum does not depend on the order else.

        Of several foundations that are alike beside their weights it is the one of lowest key.
        """
        roots = {operand.root.key: operand.foundation for operand in self.operands}
        first = self.operands[0].foundation
        same = [key for key, root in roots.items() if vocabularies.alike(first, root)]
        return {} if len(same) == len(roots) else {"tokenizer": min(same)}

    @property
    def terms(self) -> tuple[tuple[float, Checkpoint], ...]:
        """(factor, checkpoint) of a sum; empty for other merges."""
        if not isinstance(self.how, Linear):
            return ()
        return tuple(zip(self.how.factors, self.operands, strict=True))

    @property
    def costs(self) -> bool:
        return self.how.costs

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return self.operands

    def text(self, *parents: str) -> str:
        if isinstance(self.how, Linear):
            pairs = zip(self.how.factors, parents, strict=True)
            return " + ".join(f"{factor:g}*({parent})" for factor, parent in pairs)
        return f"merge({parents[0]}, [{', '.join(parents[1:])}], {self.how!r})"


@dataclass(frozen=True)
class Adapt(Step):
    """A model that may change while it is asked, `how` says in which way: a System.

    What is asked one by one in an order (`probes.streams`) is asked of what `how` makes of the
    parent. Anything else is asked of the weights: the parent's, or, after a `stream`, those that
    the stream left, where `how` names what may move (`tune`). What only remembers leaves none.
    """

    kind: ClassVar[str] = "adapt"

    parent: Checkpoint
    how: Value
    stream: Played | None = None

    def __post_init__(self) -> None:
        checking.instance("how", self.how, "recipe")

    def recipe(self) -> dict[str, Any]:
        recipe = super().recipe()
        if self.stream is None:
            del recipe["stream"]
        return recipe

    @property
    def same_weights(self) -> Checkpoint | None:
        moves = self.stream is not None and getattr(self.how, "tune", None) is not None
        return None if moves else self.parent

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.parent,)

    def text(self, *parents: str) -> str:
        after = "" if self.stream is None else f" after {self.stream!r}"
        return f"{self.how!r} on {parents[0]}{after}"


@dataclass(frozen=True)
class Graft(Step):
    """A model with a part of another: `other` feeds `parent` through `connector`.

    The connector's weights are drawn from `seed`. Tokenizer and template are the parent's. Which
    pairs fit together the family of models that `parent` is of says when it is computed.
    """

    kind: ClassVar[str] = "graft"
    doing: ClassVar[str] = "grafting"

    parent: Checkpoint
    other: Checkpoint
    connector: Value
    seed: int = 0

    def __post_init__(self) -> None:
        checking.instance("other", self.other, "recipe")
        checking.instance("connector", self.connector, "recipe")
        checking.seed(self.seed)

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.parent, self.other)

    def text(self, *parents: str) -> str:
        parent, other = parents
        return f"{parent}.graft({other}, {self.connector!r}, seed={self.seed})"
