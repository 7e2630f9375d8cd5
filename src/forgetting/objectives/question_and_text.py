"""LAMOL's two losses: the answer, and the whole example as a text (arXiv 1909.03329)."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from forgetting.method import method
from forgetting.models.rows import TARGET, WHOLE
from forgetting.objectives.base import Objective, Step, nats, require_any


@method(
    title="LAMOL's two losses",
    see="Lamol",
    colour="#004C78",
    marker="o",
)
@dataclass(frozen=True)
class QuestionAndText(Objective):
    """LAMOL's two losses (Sun et al. 2020, arXiv 1909.03329): L = L_QA + λ·L_LM.

    L_QA is the mean over answers' tokens (part `TARGET`), L_LM over the tokens of whole texts with
    their question (part `WHOLE`). A row's `weights` count its tokens in these means; the authors'
    code weighs the answer token 5.
    """

    weight: float = 0.25
    mean: ClassVar[bool] = False

    def loss(self, step: Step) -> torch.Tensor:
        require_any(step.wanted)
        each = nats(step.logits, step.wanted)
        total = each.new_zeros(())
        for part, share in ((TARGET, 1.0), (WHOLE, self.weight)):
            at = step.parts == part
            if at.any():
                weights = step.weights[at]
                total = total + share * (each[at] * weights).sum() / weights.sum()
        return total
