"""Stay near what the model said before (Marek et al. 2026, arXiv 2605.26097)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional

from forgetting.method import method
from forgetting.models.rows import TARGET
from forgetting.objectives.base import Objective, Step, divergence


@method(
    title="Divergence from the model before",
    idea="To the loss on what is learned comes the divergence of the model from itself before "
    "training, on text that the model wrote from nothing or on the answers themselves. No old "
    "data are needed.",
    equation=r"L = \mathrm{CE}(\text{new}) + c \cdot \mathrm{KL}\bigl(\pi_0 \,\Vert\, "
    r"\pi_\theta\bigr)",
    cost="The text is drawn once and read once by the model before; each step reads it with the "
    "new examples.",
    use="Where no old data are at hand and drift must be held down.",
    citations=("marek2026forgetting",),
    beside=("FreeText",),
    colour="#0072B2",
    marker="p",
)
@dataclass(frozen=True)
class KeepClose(Objective):
    """Cross-entropy on what is learned + `weight` · KL(before ‖ now) on what is to be kept.

    L = CE(target) + c·KL(π_before ‖ π) over the tokens of rows whose part is `OLD` (Marek et al.
    2026, arXiv 2605.26097; their c: 1, 3, 10). Without such rows it is cross-entropy; with
    `everywhere`, the divergence is taken on the targets' own tokens as well.
    """

    weight: float = 1.0
    everywhere: bool = False
    reads_before: ClassVar[bool] = True
    mean: ClassVar[bool] = False

    def loss(self, step: Step) -> torch.Tensor:
        target = step.parts == TARGET
        total = step.logits.new_zeros((), dtype=torch.float32)
        if target.any():
            total = functional.cross_entropy(step.logits[target].float(), step.wanted[target])
        close = ~target | self.everywhere
        if close.any():
            assert step.before is not None
            total = total + self.weight * divergence(step.before[close], step.logits[close])
        return total
