"""Selective token masking: tokens that surprise the untrained model are not learned."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from forgetting.method import method
from forgetting.objectives.base import nats
from forgetting.objectives.cross_entropy import CrossEntropy


@method(
    title="Selective token masking (STM)",
    idea="Tokens whose perplexity under the untrained model is above a threshold are left out of "
    "the loss. Masks that take as many tokens at random, or the least surprising ones, are its "
    "controls.",
    equation=r"L = -\frac{1}{|M|}\sum_{t \in M} \log \pi_\theta(y_t), \qquad M = \{t : \exp(-\log "
    r"\pi_0(y_t)) \le \tau\}",
    cost="One pass over the data before the training.",
    use="Where surprising words do not carry the skill; look at which words it leaves out.",
    citations=("wu2025mitigating",),
    colour="#D55E00",
    marker="v",
)
@dataclass(frozen=True)
class SelectiveMasking(CrossEntropy):
    """Selective Token Masking (Wu et al. 2025, arXiv 2501.14315): leave out what surprises.

    A token is supervised where its perplexity under the model before training, exp(CE), is at most
    `threshold` (the paper's: 2.5, which left out 20 to 24 % of the tokens).
    """

    threshold: float = 2.5
    reads_before: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.threshold >= 1:
            raise ValueError(f"threshold={self.threshold}: a perplexity is at least 1")

    def keep(self, before: torch.Tensor, wanted: torch.Tensor, seed: int) -> torch.Tensor:
        return nats(before, wanted) <= math.log(self.threshold)
