"""Between two models along an arc."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from forgetting.merging.base import Merging
from forgetting.method import method

NEARLY_PARALLEL = 0.9995


@method(
    title="SLERP",
    idea="From one model to the other along a circle and not along its chord, so that weights do "
    "not become shorter on the way. Between a model and what it was tuned to, the arc is so short "
    "that it is the chord; between two changes of one base it is not.",
    equation=r"\theta = \frac{\sin((1-t)\,\Omega)\, a + \sin(t\,\Omega)\, b}{\sin \Omega}, "
    r"\qquad \cos \Omega = \frac{\langle a, b \rangle}{\lVert a \rVert\, \lVert b \rVert}",
    cost="One pass over the weights of two models.",
    use="For two models. Compare it with a linear average: where each changed by less than about "
    "3 %, it is the same function.",
    citations=("shoemake1985animating", "goddard2024mergekit"),
    colour="#56B4E9",
    marker="P",
)
@dataclass(frozen=True)
class Slerp(Merging):
    """Spherical interpolation from the base, t = 0, to one model, t = 1, a tensor at a time.

    Shoemake 1985, on each tensor as one long vector; a straight line where the angle's
    |cos| is above .9995, as in MergeKit (arXiv 2403.13257). Lengths are not made equal before.
    """

    most: ClassVar[int | None] = 1

    t: float = 0.5

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        return along_arc(base, models[0], self.t)


def along_arc(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The point at `t` from a to b, shaped as they are; on the line where one of them is zero."""
    lengths = float(a.norm()), float(b.norm())
    cosine = 1.0
    if all(lengths):
        cosine = float((a / lengths[0]).flatten() @ (b / lengths[1]).flatten())
    if abs(cosine) > NEARLY_PARALLEL:
        return (1 - t) * a + t * b
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
