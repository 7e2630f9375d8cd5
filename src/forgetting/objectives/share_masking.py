"""The controls of selective masking: as many tokens left out, but others."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from forgetting.method import method
from forgetting.objectives.base import nats
from forgetting.objectives.cross_entropy import CrossEntropy


@method(
    title="Masking a share of the tokens",
    see="SelectiveMasking",
    colour="#E69F00",
    marker="D",
)
@dataclass(frozen=True)
class ShareMasking(CrossEntropy):
    """The mask's controls (2501.14315, Table 3): leave out a `share` of each row's tokens.

    `which`: drawn at `random`, or those of `low` or of `high` perplexity before training.
    """

    which: str = "random"
    share: float = 0.25
    reads_before: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.which not in ("random", "low", "high"):
            raise ValueError(f"which={self.which!r}: one of random, low, high")
        if not 0 <= self.share < 1:
            raise ValueError(f"share={self.share}: at least 0 and below 1")

    def keep(self, before: torch.Tensor, wanted: torch.Tensor, seed: int) -> torch.Tensor:
        if self.which == "random":
            generator = torch.Generator().manual_seed(seed)
            order = torch.rand(len(wanted), generator=generator)
        else:
            order = nats(before, wanted).cpu() * (1 if self.which == "low" else -1)
        mask = torch.ones(len(wanted), dtype=torch.bool)
        mask[order.argsort(stable=True)[: round(self.share * len(wanted))]] = False
        return mask.to(wanted.device)
