"""Uniform soups: the mean of several runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from forgetting.merging.base import Merging, mean
from forgetting.method import method


@method(
    title="Model soups",
    idea="Runs that began at one start and differ in seed or settings lie in one valley. Their "
    "mean is often as good as the best of them, and costs no more to run than one.",
    equation=r"\theta = \frac{1}{N} \sum_i \theta_i",
    cost="The runs. A uniform soup needs no data; a greedy one asks each model, and each soup, a "
    "held-out task.",
    use="Instead of choosing one of several runs. With high rates runs leave the valley; look at "
    "the middle between two of them first.",
    citations=("wortsman2022soups",),
    colour="#0072B2",
    marker=">",
)
@dataclass(frozen=True)
class Soup(Merging):
    """The mean of the models, each alike; the base is not one of them unless it is named again.

    Wortsman et al. 2022 (arXiv 2203.05482), the uniform soup.
    """

    def coefficients(self, count: int) -> tuple[float, tuple[float, ...]]:
        return 0.0, (1 / count,) * count

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        return mean(models)
