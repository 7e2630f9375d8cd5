"""Controls: a change whose values stand at other places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from forgetting.merging.base import Merging, changes, shares, total
from forgetting.merging.draws import generator
from forgetting.method import method


@method(title="Shuffled vector", see="RandomVector", colour="#777777", marker="X")
@dataclass(frozen=True)
class ShuffledVector(Merging):
    """θ₀ + scale · v, where v = Σ wᵢδᵢ has its values shuffled within each tensor.

    Values and norms are those of `TaskArithmetic(weights, scale)`, whose control it is; the order
    is of the seed and the tensor's name.
    """

    seed: int
    scale: float = 1.0
    weights: tuple[float, ...] | None = None

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        moved = total(shares(self.weights, len(models)), changes(base, models)).flatten()
        order = torch.randperm(moved.numel(), generator=generator(self.seed, name))
        return base + self.scale * moved[order].view_as(base)
