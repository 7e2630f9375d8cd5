"""Dropout on attention weights, a regulariser of old (Srivastava et al. 2014)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from forgetting.method import method
from forgetting.tuning.full import Full


@method(
    title="Attention dropout",
    question="What is it asked for?",
    idea="While it trains, the model attends through a random part of its attention weights only. "
    "Afterwards all of them are back.",
    equation=r"A' = \tfrac{1}{1-p}\; M \odot A, \qquad M_{ij} \sim \mathrm{Bernoulli}(1-p)",
    cost="None to speak of.",
    use="As a baseline that any method against forgetting should beat.",
    citations=("srivastava2014dropout", "biderman2024lora"),
    colour="#E69F00",
    marker="^",
)
class AttentionDropout(Full):
    """Everything may move, while training drops attention weights with probability `p`."""

    p: float = Field(0.05, gt=0, lt=1)

    def apply(self, model: Any) -> Any:
        """As `Full.apply`. Raises `ValueError` where attention has no dropout of Llama's kind."""
        modules = [m for m in model.modules() if hasattr(m, "attention_dropout")]
        if not modules:
            raise ValueError(f"{self!r}: {type(model).__name__} has no attention_dropout to set")
        for module in modules:
            if isinstance(module.attention_dropout, float):
                module.attention_dropout = self.p
            else:
                module.attention_dropout.p = self.p
        return super().apply(model)
