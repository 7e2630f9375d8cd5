"""Controls: a change in no direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from forgetting.merging.base import Merging, changes, shares, total
from forgetting.merging.draws import generator
from forgetting.method import method


@method(
    title="Random vector",
    idea="A change as long as the one that was trained, tensor by tensor, in a direction drawn at "
    "random: it is what a merge does to a model by its size alone. Shuffled, the trained change "
    "keeps all its values too and loses their places.",
    equation=r"\theta = \theta_0 + \lambda\, \frac{\lVert v \rVert}{\lVert z \rVert}\, z, \quad "
    r"z \sim \mathcal{N}(0, I), \qquad v = \sum_i w_i \delta_i",
    cost="A random number a weight.",
    use="As a line of every table of merges: what this does too, is no effect of what was learned.",
    citations=("ilharco2023editing",),
    colour="#777777",
    marker="P",
)
@dataclass(frozen=True)
class RandomVector(Merging):
    """θ₀ + scale · z, z Gaussian and in each tensor as long as v = Σ wᵢδᵢ.

    The random vector of Ilharco et al. 2023 (arXiv 2212.04089). It is the control of
    `TaskArithmetic(weights, scale)`; a tensor's numbers are of the seed and its name.
    """

    seed: int
    scale: float = 1.0
    weights: tuple[float, ...] | None = None

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        moved = total(shares(self.weights, len(models)), changes(base, models))
        drawn = torch.randn(base.shape, generator=generator(self.seed, name))
        return base + self.scale * float(moved.norm() / drawn.norm()) * drawn
