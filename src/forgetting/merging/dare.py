"""DARE: drop changes at random and rescale the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from forgetting.checking import BadValue
from forgetting.merging.base import Merging, changes, require_density, shares
from forgetting.merging.draws import generator
from forgetting.merging.sparse import agreeing
from forgetting.method import method


@method(
    title="DARE",
    idea="Most of what a tuning changed can be thrown away at random, if the rest is made larger "
    "so that its mean stays. What is left of several models collides less.",
    equation=r"\hat\delta_i = \frac{m_i \odot \delta_i}{1 - p}, \quad m_i \sim "
    r"\operatorname{Bernoulli}(1 - p), \qquad \theta = \theta_0 + \lambda \sum_i w_i \hat\delta_i",
    cost="A random number a weight. Results differ from draw to draw: several draws are needed.",
    use="To ask how much of a change is redundant. It fails where changes are large beside the "
    "weights, and where small models are made to drop 90 % or more.",
    citations=("yu2024dare",),
    colour="#E69F00",
    marker="P",
)
@dataclass(frozen=True)
class DARE(Merging):
    """Drop and rescale, then add: Yu et al. 2024 (arXiv 2311.03099).

    In this order: each weight of each δᵢ is kept with probability `density`, 1 - p; what is kept
    is divided by the density (`rescale`), times the model's weight; with `elect="sum"` those remain
    that have the sign of the sum (as TIES, without its division); their sum is multiplied by
    `scale`. A tensor's random numbers are of `seed`, its name and the model's place, so that they
    depend on nothing that is merged beside it. MergeKit rescales to each tensor's own L1 norm
    instead; the authors and PEFT divide by the density.
    """

    density: float
    seed: int
    rescale: bool = True
    elect: Literal["none", "sum"] = "none"
    weights: tuple[float, ...] | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_density(self.density)
        if self.elect not in ("none", "sum"):
            raise BadValue(f"elect={self.elect!r}: one of none, sum")

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        weighted = []
        weights = shares(self.weights, len(models))
        for number, delta in enumerate(changes(base, models)):
            drawn = torch.rand(delta.shape, generator=generator(self.seed, name, number))
            factor = weights[number] / (self.density if self.rescale else 1.0)
            weighted.append(delta * (drawn < self.density) * factor)
        stacked = torch.stack(weighted)
        if self.elect == "sum":
            stacked = stacked * agreeing(stacked)
        return base + self.scale * stacked.sum(dim=0)
