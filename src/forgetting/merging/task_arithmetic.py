"""Task vectors: added, negated, and by analogy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from forgetting.merging.base import Merging, changes, shares, total
from forgetting.method import method


@method(title="Task vectors", see="weighted_sum", colour="#009E73", marker=">")
@dataclass(frozen=True)
class TaskArithmetic(Merging):
    """θ = θ₀ + scale · Σ wᵢ(θᵢ - θ₀): Ilharco et al. 2023 (arXiv 2212.04089).

    `weights` are 1 each by default, and nothing is divided by their sum: the same model twice is
    its change twice. The paper chooses `scale` on held-out data, most often from .3 to .5. Where
    nothing but operators is needed, `base + 0.5 * (one - base)` is the same.
    """

    weights: tuple[float, ...] | None = None
    scale: float = 1.0

    @classmethod
    def add(cls, scale: float = 1.0) -> TaskArithmetic:
        """Learn all that the models learned."""
        return cls(None, scale)

    @classmethod
    def negate(cls, scale: float = 1.0) -> TaskArithmetic:
        """Unlearn what one model learned."""
        return cls((-1.0,), scale)

    @classmethod
    def analogy(cls, scale: float = 1.0) -> TaskArithmetic:
        """A is to B as C is to the result: δ_C + δ_B - δ_A of the models (A, B, C)."""
        return cls((-1.0, 1.0, 1.0), scale)

    def coefficients(self, count: int) -> tuple[float, tuple[float, ...]]:
        scaled = tuple(self.scale * weight for weight in shares(self.weights, count))
        return 1.0 - sum(scaled), scaled

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        return base + total(self.coefficients(len(models))[1], changes(base, models))
