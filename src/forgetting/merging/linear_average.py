"""Averages of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from forgetting.checking import BadValue
from forgetting.merging.base import Merging, shares, total
from forgetting.method import method


@method(
    title="Linear average",
    idea="The mean of several models, weight by weight. Between a model and what it was tuned to "
    "it is a straight path: half-way lies much of what was learned and much of what was known.",
    equation=r"\theta = \frac{\sum_i w_i\, \theta_i}{\sum_i w_i}, \qquad \text{as } "
    r"(1 - \alpha)\, \theta_0 + \alpha\, \theta_1",
    cost="One pass over the weights of each model; no data and no gradient.",
    use="First, before any other merge: many others do no better. With the base as one of the "
    "models it is what was done before and after a tuning, merged.",
    citations=("wortsman2022robust", "farn2025safeguard"),
    colour="#0072B2",
    marker="P",
)
@dataclass(frozen=True)
class LinearAverage(Merging):
    """θ = Σ wᵢθᵢ ÷ Σ wᵢ over the models; the base is not among them unless it is named again.

    Wortsman et al. 2022, WiSE-FT (arXiv 2109.01903): weights (1 - α, α), by default
    α = .5, of a start and what it was tuned to; 2412.19512 merges so before and after tuning.
    `weights` are 1 each by default. With `normalize=False` nothing is divided: .1 and 1 stay what
    they are. Weights that add up to nothing or less cannot be normalised: `ValueError`.
    """

    weights: tuple[float, ...] | None = None
    normalize: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalize and self.weights is not None and sum(self.weights) <= 0:
            raise BadValue(
                f"weights={self.weights!r}: their sum is not above 0, so that nothing can be "
                "divided by it; say normalize=False, or negate with TaskArithmetic"
            )

    def coefficients(self, count: int) -> tuple[float, tuple[float, ...]]:
        chosen = shares(self.weights, count)
        divisor = sum(chosen) if self.normalize else 1.0
        return 0.0, tuple(weight / divisor for weight in chosen)

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        return total(self.coefficients(len(models))[1], models)
