"""Entropy-adaptive fine-tuning: confident conflicts teach little (arXiv 2601.02151)."""

import math
from dataclasses import dataclass

import torch

from forgetting.method import method
from forgetting.objectives.base import Objective, Step, nats, require_any


@method(
    title="Entropy-adaptive fine-tuning (EAFT)",
    idea="Each token's loss is weighed by the entropy of the model's own prediction there. Where "
    "the model is sure of another word, a confident conflict, it learns little.",
    equation=r"L = \sum_t w_t\, \mathrm{CE}_t, \qquad w_t = \frac{H_t(\text{top } k)}{\ln k} "
    r"\text{ without gradient}",
    cost="The entropy of the likeliest words of every token.",
    use="As a soft form of masking that needs no threshold.",
    citations=("diao2026entropy",),
    colour="#CC79A7",
    marker="X",
)
@dataclass(frozen=True)
class EntropyAdaptive(Objective):
    """Entropy-adaptive fine-tuning (EAFT, arXiv 2601.02151): Σ w·CE, w = H(top k) / ln k, detached.

    Where the model is sure and the target is another, w is near 0: a confident conflict teaches
    little. H is the entropy of the `top` likeliest tokens' shares, which are made to add up to 1.
    The mean is over tokens, so that a rate means what it means for cross-entropy.
    """

    top: int = 20

    def __post_init__(self) -> None:
        if self.top < 2:
            raise ValueError(f"top={self.top}: the entropy of at least 2 tokens")

    def loss(self, step: Step) -> torch.Tensor:
        require_any(step.wanted)
        each = nats(step.logits, step.wanted)
        with torch.no_grad():
            log_share = step.logits.float().topk(self.top).values.log_softmax(dim=-1)
            weight = -(log_share.exp() * log_share).sum(dim=-1) / math.log(self.top)
        return (weight * each).mean()
