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
        rates = ((module, getattr(module, "attention_dropout", None)) for module in model.modules())
        modules = [module for module, rate in rates if isinstance(rate, int | float)]
        if not modules:
            raise ValueError(f"{self!r}: {type(model).__name__} has no attention_dropout to set")
        for module in modules:
            setattr(module, "attention_dropout", self.p)  # noqa: B010
        return super().apply(model)
