"""Model Stock: how far from the base to the mean, by the angle between the changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any, ClassVar

import torch

from forgetting.merging.base import Merging, changes, total
from forgetting.method import method


@method(
    title="Model Stock",
    idea="Models tuned alike lie on a shell around a centre that none of them reaches. The angle "
    "between two changes says how far from the base the point lies that is nearest to it.",
    equation=r"t = \frac{N \cos\varphi}{1 + (N - 1) \cos\varphi}, \qquad \theta = t\, \bar\theta "
    r"+ (1 - t)\, \theta_0",
    cost="An inner product a pair of models and tensor; no data, and no strength to tune.",
    use="For runs that differ in their seeds alone. Models of different tasks stand at right "
    "angles, and little of them is left.",
    citations=("jang2024modelstock",),
    colour="#8C4A76",
    marker="P",
)
@dataclass(frozen=True)
class ModelStock(Merging):
    """t·mean + (1 - t)·θ₀ a tensor: Jang et al. 2024 (arXiv 2403.19522).

    cos φ is the mean over pairs of models, of a tensor as one vector; with a change that is zero it
    is 0. Where changes point away from each other (cos φ < 0) the base stays; the formula, and
    MergeKit, would go beyond it. MergeKit does not let the product of two lengths fall below 1e-6,
    so that changes shorter than 1e-3 all but vanish; here they count as others.
    """

    least: ClassVar[int] = 2

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        count, moved = len(models), changes(base, models)
        lengths = [float(delta.norm()) or 1.0 for delta in moved]
        units = [(d / length).flatten() for d, length in zip(moved, lengths, strict=True)]
        cosine = min(1.0, max(0.0, mean(float(a @ b) for a, b in combinations(units, 2))))
        t = count * cosine / (1 + (count - 1) * cosine)
        return base + total([t / count] * count, moved)
