"""Old tasks: their examples, and the gradients at the weights that had just learned them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch

from forgetting.lineage import Checkpoint, Drawn, Recipe, Settings
from forgetting.models.rows import Row, rows_of
from forgetting.objectives.base import Objective, Read
from forgetting.objectives.cross_entropy import CrossEntropy
from forgetting.tasks import Task

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Old:
    """Examples of an old task, and the checkpoint that had just learned it."""

    shown: Task | Recipe
    of: Checkpoint
    examples: int
    length: int
    seed: int = 0

    def recipe(self) -> dict[str, Any]:
        """What they depend on."""
        own = {"of": self.of.key, "examples": self.examples, "length": self.length}
        return {"shown": self.shown.recipe(), **own, "seed": self.seed}

    def rows(self, tokenizer: Any, drawn: Drawn) -> list[Row]:
        """One row an example."""
        settings = Settings(style="sft", examples=self.examples, length=self.length)
        return rows_of(self.shown, tokenizer, settings, self.seed, drawn)


@dataclass(frozen=True)
class WithOld(CrossEntropy):
    """Cross-entropy of what is new, with regard to old tasks; adapters have no old weights."""

    old: tuple[Old, ...]
    mean: ClassVar[bool] = False

    def recipe(self) -> dict[str, Any]:
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        old = [task.recipe() for task in self.old]
        return {"objective": type(self).__name__, **own, "old": old}


def moving_weights(model: Any) -> Tensors:
    """What trains, by name. Raises `ValueError` where an adapter does: old weights lack it."""
    moving = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if adapters := [name for name in moving if "lora_" in name or "ia3_" in name]:
        raise ValueError(f"tune: {adapters[0]} is an adapter's; EWC, MAS and GEM train the weights")
    return moving


def gradient(moving: Tensors, value: torch.Tensor) -> list[torch.Tensor]:
    """The gradient of a scalar by each weight that moves, zeros where it has none."""
    parts = torch.autograd.grad(value, list(moving.values()), allow_unused=True)
    pairs = zip(parts, moving.values(), strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def mean_gradient(
    moving: Tensors,
    rows: Sequence[Row],
    read: Read,
    objective: Objective,
    of: Callable[[torch.Tensor], torch.Tensor],
) -> Tensors:
    """The mean over rows of `of` the gradient of each row's objective."""
    total = {name: torch.zeros_like(p) for name, p in moving.items()}
    for row in rows:
        parts = gradient(moving, read([row], objective))
        for sum_so_far, part in zip(total.values(), parts, strict=True):
            sum_so_far.add_(of(part), alpha=1 / len(rows))
    return total
