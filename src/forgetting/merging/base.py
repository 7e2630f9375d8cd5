"""What a merge is: a frozen value that makes weights of weights, one tensor after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import torch

from forgetting.merging.states import State, require_one_architecture
from forgetting.tasks import Task


class Tools(Protocol):
    """What a merge may ask of a model with given weights; the engine has them, weights alone not."""

    def nats(self, state: State, task: Task, part: str) -> list[float]:
        """Cross-entropy of each of the task's answers in a `part` of its items, nats a token."""

    def importance(self, operand: int, task: Task, examples: int) -> State:
        """Diagonal of the empirical Fisher information of an operand, 0 the base, as EWC has it."""


@dataclass(frozen=True)
class Merging:
    """Base class: `tensor` merges the tensors of one name, and `survey` sees all of them before.

    A subclass is a frozen dataclass whose fields enter the recipe. `costs` says whether results
    are stored. The first operand, the base, is the common ancestor where a method has one.
    """

    costs: ClassVar[bool] = True
    version: ClassVar[int] = 1

    def recipe(self) -> dict[str, Any]:
        """The method's name and its parameters."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {k: v.recipe() if hasattr(v, "recipe") else v for k, v in own.items()}
        return {"method": type(self).__name__, "version": self.version, **plain}

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

        Raises `ValueError` where names or shapes differ.
        """
        for model in models:
            require_one_architecture(base, model)
        survey = self.survey(base, models, tools)
        for name in base:
            operands = [model[name].float() for model in models]
            yield name, self.tensor(name, base[name].float(), operands, survey)

    def merge(
        self, base: State, models: Sequence[State], tools: Tools | None = None
    ) -> dict[str, torch.Tensor]:
        """All of `merged` at once."""
        return dict(self.merged(base, models, tools))


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """One weight a model, 1 each where none is given. Raises `ValueError` for another number."""
    chosen = [1.0] * count if weights is None else list(weights)
    if len(chosen) != count:
        raise ValueError(f"weights={weights!r}: {len(chosen)} for {count} models; give one each")
    return chosen
