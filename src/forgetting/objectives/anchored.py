"""Weights on springs: what EWC and MAS share."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.lineage import Drawn
from forgetting.objectives.base import Objective, Read, Weights
from forgetting.objectives.old import Tensors, WithOld, mean_gradient, moving_weights


@dataclass(frozen=True)
class Anchored(WithOld):
    """CE + weight/2 · Σ_i Ω_i (θ_i - θ*_i)²: what old tasks need may move little.

    θ* are the weights as the training begins. Ω is the sum over old tasks of the mean over examples
    of the `size` of the gradient of `output`, at the weights that had just learned the task. (With
    an anchor and an Ω for each old task it would be the sum of as many parabolas: the authors' EWC.
    Anchoring the sum at the last weights is Huszár's correction, arXiv 1712.03847, and what MAS
    does.) The recorded loss is the cross-entropy alone.
    """

    weight: float = 1.0
    output: ClassVar[Objective]

    @staticmethod
    @abstractmethod
    def size(gradient: torch.Tensor) -> torch.Tensor:
        """How much a weight matters that has this gradient."""

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
            for name, omega in mean_gradient(moving, rows, read, self.output, self.size).items():
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
