"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional

from forgetting.method import method
from forgetting.objectives.anchored import Anchored
from forgetting.objectives.base import Objective, Step


@dataclass(frozen=True)
class AnswerNats(Objective):
    """-log p of all supervised tokens together."""

    def loss(self, step: Step) -> torch.Tensor:
        return functional.cross_entropy(step.logits.float(), step.wanted, reduction="sum")


@method(
    name="elastic-weights",
    title="EWC and MAS",
    idea="Weights that mattered to earlier tasks are held in place by a spring. How much a weight "
    "mattered is the mean of its squared gradients (EWC) or of how strongly it moves the output "
    "(MAS).",
    equation=r"L = L_{\text{new}} + \frac{\lambda}{2} \sum_i \Omega_i\, (\theta_i - "
    r"\theta_i^{\text{old}})^2",
    cost="A copy of the weights and an importance for each, and one pass over some old examples.",
    use="As the classic comparison; the strength has no scale of its own and must be tuned.",
    citations=("kirkpatrick2017overcoming", "aljundi2018memory"),
    colour="#D55E00",
    marker="s",
)
@dataclass(frozen=True)
class EWC(Anchored):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796).

    Ω = 1/N Σ_n (∂ log p(y_n | x_n) / ∂θ)²: the diagonal of the empirical Fisher information, where
    log p is the whole answer's. LAMOL's comparison has weight 1.
    """

    output: ClassVar[Objective] = AnswerNats()

    @staticmethod
    def size(gradient: torch.Tensor) -> torch.Tensor:
        return gradient.square()
