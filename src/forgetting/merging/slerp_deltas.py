"""Between two models' changes along an arc."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.merging.base import Merging, changes
from forgetting.merging.slerp import along_arc
from forgetting.method import method


@method(title="SLERP of changes", see="Slerp", colour="#56B4E9", marker="X")
@dataclass(frozen=True)
class SlerpDeltas(Merging):
    """θ₀ + slerp(δ₁, δ₂; t), a tensor at a time: MergeKit's nuslerp with a base (2403.13257).

    Two changes of one base stand nearly at right angles. Their mean is then shorter by 1/√2; the
    arc keeps the length. The exceptions of `Slerp` hold: nearly parallel, or one of them zero.
    """

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = 2

    t: float = 0.5

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        one, two = changes(base, models)
        return base + along_arc(one, two, self.t)
