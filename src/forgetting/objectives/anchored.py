"""Weights on springs: what EWC and MAS share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.lineage import Drawn
from forgetting.models.rows import Row
from forgetting.objectives.base import Read, Weights
from forgetting.objectives.cross_entropy import CrossEntropy
from forgetting.objectives.old import Old, Tensors, moving_weights


@dataclass(frozen=True)
class Anchored(CrossEntropy):
    """CE + weight/2 · Σ_i Ω_i (θ_i - θ*_i)²: what old tasks need may move little.

    θ* are the weights as the training begins; Ω is the sum over old tasks of each weight's
    `importance`, computed at the weights that had just learned the task. (With an anchor and an Ω
    for each old task it would be the sum of as many parabolas: the authors' EWC. Anchoring the sum
    at the last weights is Huszár's correction, arXiv 1712.03847, and what MAS does.) The recorded
    loss is the cross-entropy alone. Needs a tuning that trains the model's own weights.
    """

    old: tuple[Old, ...]
    weight: float = 1.0
    mean: ClassVar[bool] = False

    def recipe(self) -> dict[str, Any]:
        old = [task.recipe() for task in self.old]
        return {"objective": type(self).__name__, "weight": self.weight, "old": old}

    @abstractmethod
    def importance(self, moving: Tensors, rows: Sequence[Row], read: Read) -> Tensors:
        """Ω of one old task, for each weight that moves."""

    def begin(
        self, model: Any, tokenizer: Any, read: Read, weights: Weights, drawn: Drawn
    ) -> Callable[[], None]:
        moving = moving_weights(model)
        start = {name: p.detach().clone() for name, p in moving.items()}
        total = {name: torch.zeros_like(p) for name, p in moving.items()}
        model.eval()
        for task in self.old:
            _lay(moving, weights(task.of))
            rows = task.rows(tokenizer, drawn)
            for name, omega in self.importance(moving, rows, read).items():
                total[name] += omega
        _lay(moving, start)
        model.train()

        def pull() -> None:
            for name, p in moving.items():
                if p.grad is not None:
                    p.grad.addcmul_(total[name], p.detach() - start[name], value=self.weight)

        return pull


@torch.no_grad()
def _lay(moving: Tensors, state: Mapping[str, torch.Tensor]) -> None:
    for name, p in moving.items():
        p.copy_(state[name])
