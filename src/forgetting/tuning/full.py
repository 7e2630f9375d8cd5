"""Everything moves."""

from __future__ import annotations

from typing import Any

from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tuning.base import Tuning


@method(
    title="Training everything",
    idea="Every weight may move. It is the method that all others are compared with, and the one "
    "that can learn most.",
    equation=r"\theta \leftarrow \theta - \eta\, \nabla_\theta L(\theta)",
    cost="The most memory: a gradient and two moments for every weight, twelve bytes each in 32 "
    "bits.",
    use="When memory allows it, and as the curve that any other method must beat at the same "
    "level of the new skill.",
    citations=("loshchilov2019decoupled",),
    colour="#000000",
    marker="o",
)
class Full(Tuning):
    """Everything may move."""

    def trains(self, part: Part, blocks: int) -> bool:
        return True

    def apply(self, model: Any) -> Any:
        """The model with `requires_grad` set throughout."""
        return model.requires_grad_(True)
