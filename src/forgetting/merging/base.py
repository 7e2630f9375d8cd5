"""What a merge is: a frozen value that makes weights of weights, one tensor after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import torch

from forgetting import checking
from forgetting.checking import BadValue
from forgetting.merging.states import State, require_one_architecture
from forgetting.models.parts import Part
from forgetting.tasks import Task


class Tools(Protocol):
    """What a merge may ask of models with given weights; the engine can answer, weights cannot."""

    def nats(self, state: State, task: Task, part: str) -> list[float]:
        """Cross-entropy of each of the task's answers in a `part` of its items, nats a token.

        Parts are disjoint: "choose" is for what is chosen, "report" for what is told of it.
        """

    def importance(self, operand: int, task: Task, examples: int) -> State:
        """Diagonal of the empirical Fisher information of an operand, 0 the base, as EWC has it."""

    def part(self, name: str) -> Part:
        """The part of the model that a parameter belongs to."""


@dataclass(frozen=True)
class Merging:
    """Base class: `tensor` merges the tensors of one name, and `survey` sees all of them before.

    A subclass is a frozen dataclass whose fields enter the recipe; a field `weights` has one
    number a model, but for the first `unweighted` ones. The first operand, the base, is the common
    ancestor where a method has one. A method takes `least` models beside it, and at most `most`.
    `costs` says whether results are stored: those of methods that ask models a task are, others are
    computed again when they are read. `surveyed` are the copies of a model's weights, for each,
    that `survey` keeps. Raises `BadValue` for a number that is none or is not finite.
    """

    costs: ClassVar[bool] = False
    surveyed: ClassVar[int] = 0
    version: ClassVar[int] = 1
    unweighted: ClassVar[int] = 0
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "weights" and value is not None:
                object.__setattr__(self, "weights", tuple(_number("weights", w) for w in value))
            elif field.name == "seed":
                checking.seed(value)
            elif field.type in (float, "float"):  # 1 and 1.0 are one recipe
                object.__setattr__(self, field.name, _number(field.name, value))

    def recipe(self) -> dict[str, Any]:
        """The method's name and its parameters."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {k: v.recipe() if hasattr(v, "recipe") else v for k, v in own.items()}
        return {"method": type(self).__name__, "version": self.version, **plain}

    def coefficients(self, count: int) -> tuple[float, tuple[float, ...]] | None:
        """What every merged weight is a sum with: the base's coefficient, and each model's.

        None where it is no such sum, or another one from weight to weight.
        """
        return None

    def survey(self, base: State, models: Sequence[State], tools: Tools | None) -> Any:
        """What has to be known of all tensors before the first is merged."""

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        """The merged tensor of a name; operands are float32 and are left as they are."""
        raise NotImplementedError

    def merged(
        self, base: State, models: Sequence[State], tools: Tools | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Name by name what the merge gives, float32: no more than one name is in memory.

        Raises `ValueError` where names or shapes differ, or the method takes more models or fewer.
        """
        self.require(base, models)
        join = self.joiner(base, models, tools)
        for name in base:
            yield name, join(name)[1]

    def joiner(
        self, base: State, models: Sequence[State], tools: Tools | None = None
    ) -> Callable[[str], tuple[list[torch.Tensor], torch.Tensor]]:
        """Of a name the operands, float32 and the base first, and what the merge makes of them.

        Surveys before. Several threads may ask at a time. Operands are of one architecture.
        """
        survey = self.survey(base, models, tools)

        def join(name: str) -> tuple[list[torch.Tensor], torch.Tensor]:
            start, *others = operands = [state[name].float() for state in (base, *models)]
            return operands, self.tensor(name, start, others, survey)

        return join

    def merge(
        self, base: State, models: Sequence[State], tools: Tools | None = None
    ) -> dict[str, torch.Tensor]:
        """All of `merged` at once."""
        return dict(self.merged(base, models, tools))

    def require(self, base: State, models: Sequence[State]) -> None:
        """Raise `ValueError` for models that cannot be merged so, before anything is computed."""
        self.require_count(len(models))
        for model in models:
            require_one_architecture(base, model)

    def require_count(self, count: int) -> None:
        """Raise `BadValue` for more models than it takes, for fewer, or not one weight for each."""
        if count < self.least or (self.most is not None and count > self.most):
            bounds = f"{'exactly' if self.least == self.most else 'at least'} {self.least}"
            name = type(self).__name__
            raise BadValue(f"models: {count} beside the base; {name} takes {bounds}")
        shares(getattr(self, "weights", None), count - self.unweighted)

    def needs(self, tools: Tools | None) -> Tools:
        """Raise `ValueError` where a method that has to ask the models cannot."""
        if tools is None:
            raise BadValue(f"tools: {self!r} asks the models; merge them with `forgetting.merge`")
        return tools


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """One weight a model, 1 each where none is given. Raises `ValueError` for another number."""
    chosen = [1.0] * count if weights is None else list(weights)
    if len(chosen) != count:
        raise BadValue(f"weights={weights!r}: {len(chosen)} for {count} models; give one each")
    return chosen


def total(weights: Sequence[float], tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Σ wᵢ·tᵢ, a new tensor."""
    sum_so_far = torch.zeros_like(tensors[0])
    for weight, tensor in zip(weights, tensors, strict=True):
        sum_so_far.add_(tensor, alpha=weight)
    return sum_so_far


def mean(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of tensors, a new one."""
    return total([1 / len(tensors)] * len(tensors), tensors)


def changes(base: torch.Tensor, models: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """δᵢ = θᵢ - θ₀ of each model."""
    return [model - base for model in models]


def require_density(density: float) -> None:
    """Raise `BadValue` for a share of weights that is not in (0, 1]."""
    if not 0 < density <= 1:
        raise BadValue(f"density={density!r}: the share that is kept, above 0 and at most 1")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadValue(f"{name}={value!r}: a finite number is needed")
    return float(value)
