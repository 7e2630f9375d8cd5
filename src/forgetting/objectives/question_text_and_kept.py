"""LAMOL's two losses on what is new; on dreams, staying near what the model said before."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from forgetting.method import method
from forgetting.models.rows import OLD
from forgetting.objectives.base import Step, divergence
from forgetting.objectives.question_and_text import QuestionAndText


@method(
    title="LAMOL with dreams that are kept, not learned",
    see="Lamol",
    colour="#5E4FA2",
    marker="o",
)
@dataclass(frozen=True)
class QuestionTextAndKept(QuestionAndText):
    """LAMOL's two losses on what is new, and c·KL(before ‖ now) on dreams (part `OLD`)."""

    keep_weight: float = 1.0
    reads_before: ClassVar[bool] = True

    def loss(self, step: Step) -> torch.Tensor:
        new, old = step.parts != OLD, step.parts == OLD
        total = step.logits.new_zeros((), dtype=torch.float32)
        if new.any():
            total = super().loss(
                Step(step.logits[new], step.wanted[new], step.parts[new], step.weights[new], None)
            )
        if old.any():
            assert step.before is not None
            total = total + self.keep_weight * divergence(step.before[old], step.logits[old])
        return total
