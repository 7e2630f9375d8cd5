"""Memory-aware synapses (Aljundi et al. 2018, arXiv 1711.09601)."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from forgetting.method import method
from forgetting.objectives.anchored import Anchored
from forgetting.objectives.base import Objective, Step


@dataclass(frozen=True)
class SquaredLogits(Objective):
    """The mean square of the logits at supervised tokens."""

    def loss(self, step: Step) -> torch.Tensor:
        return step.logits.float().square().mean()


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

    output: ClassVar[Objective] = SquaredLogits()

    @staticmethod
    def size(gradient: torch.Tensor) -> torch.Tensor:
        return gradient.abs()
