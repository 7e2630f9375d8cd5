"""Memory-aware synapses (Aljundi et al. 2018, arXiv 1711.09601)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from forgetting.method import method
from forgetting.models.rows import Row
from forgetting.objectives.anchored import Anchored
from forgetting.objectives.base import Objective, Read, Step
from forgetting.objectives.old import Tensors, mean_gradient


@method(
    title="Memory-aware synapses (MAS)",
    see="EWC",
    colour="#E69F00",
    marker="o",
)
@dataclass(frozen=True)
class MAS(Anchored):
    """Memory-aware synapses (Aljundi et al. 2018, arXiv 1711.09601).

    Ω = 1/N Σ_n |∂ F_n / ∂θ|, F_n the mean square of the logits at the answer's tokens: it asks how
    much the outputs would change, not the loss, and needs no right answers. (The paper has the sum
    of squares; a mean does not grow with the vocabulary.)
    """

    def importance(self, moving: Tensors, rows: Sequence[Row], read: Read) -> Tensors:
        return mean_gradient(moving, rows, read, SquaredLogits(), torch.abs)


@dataclass(frozen=True)
class SquaredLogits(Objective):
    """The mean square of the logits at supervised tokens."""

    def loss(self, step: Step) -> torch.Tensor:
        return step.logits.float().square().mean()
