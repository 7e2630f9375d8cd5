"""Fisher-weighted averages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting import checking
from forgetting.checking import BadValue
from forgetting.merging.base import Merging, State, Tools, shares, total
from forgetting.method import method
from forgetting.tasks import Task


@method(
    title="Fisher averaging",
    idea="Each model has the more to say about a weight the more its own loss depends on it. With "
    "each loss a parabola around its model, the mean is the lowest point of their sum.",
    equation=r"\theta = \frac{\sum_i w_i F_i\, \theta_i}{\sum_i w_i F_i}, \qquad F_i = "
    r"\frac{1}{N} \sum_n \left( \nabla \log p(y_n \mid x_n; \theta_i) \right)^2",
    cost="A backward pass an example and model, and an importance a weight and model in memory.",
    use="Where each model has examples of what it shall keep. The importance is a diagonal, and "
    "that of labels, not of what the model would say.",
    citations=("matena2022fisher",),
    colour="#0072B2",
    marker="8",
)
@dataclass(frozen=True)
class Fisher(Merging):
    """θ = Σ wᵢFᵢθᵢ ÷ Σ wᵢFᵢ: Matena & Raffel 2022 (arXiv 2111.09832).

    Fᵢ is the diagonal of the empirical Fisher information, EWC's, at a model and on `examples`
    training examples of `task`; the base is not one of the models. With `normalize` each Fᵢ is
    divided by its mean over all weights, so that no model counts more for steeper losses (the
    authors divide by the L2 norm); `floor` is the least that a weight counts, after that: where
    nobody's loss depends on a weight, models count alike. Raises `ValueError` for a negative
    weight, and for a floor that is not above 0.
    """

    costs: ClassVar[bool] = True
    surveyed: ClassVar[int] = 1

    task: Task
    examples: int
    floor: float = 1e-6
    weights: tuple[float, ...] | None = None
    normalize: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checking.whole("examples", self.examples, 1)
        if self.floor <= 0:
            raise BadValue(f"floor={self.floor!r}: has to be above 0: nothing is divided by 0")
        if min(self.weights or (0.0,)) < 0 or (self.weights and sum(self.weights) == 0):
            raise BadValue(f"weights={self.weights!r}: at least 0 each, and not all of them 0")

    def survey(
        self, base: State, models: Sequence[State], tools: Tools | None
    ) -> list[tuple[State, float]]:
        """Of each model its importance by name, and what that is divided by."""
        asked = self.needs(tools)
        found = [asked.importance(i + 1, self.task, self.examples) for i in range(len(models))]
        count = sum(tensor.numel() for tensor in base.values())
        means = [sum(float(part.sum()) for part in each.values()) / count for each in found]
        divisors = [mean if self.normalize and mean > 0 else 1.0 for mean in means]
        return list(zip(found, divisors, strict=True))

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        weights = shares(self.weights, len(models))
        counts = [(each[name] / by).clamp(min=self.floor) for each, by in survey]
        weighted = [count * model for count, model in zip(counts, models, strict=True)]
        return total(weights, weighted) / total(weights, counts)
