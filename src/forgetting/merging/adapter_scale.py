"""A trained adapter, turned up or down."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.merging.base import Merging, Tools
from forgetting.merging.states import State
from forgetting.method import method


@method(
    title="Adapter scale",
    idea="An adapter adds a matrix to the weights. It can be added in part, or more than once, "
    "after it was trained.",
    equation=r"W = W_0 + s\, \Delta W, \qquad \Delta W = \tfrac{\alpha}{r} B A",
    cost="One pass over the weights; no data and no gradient.",
    use="As the first remedy for what an adapter made a model forget: a curve over s costs no "
    "training. It is the straight path of a linear average, for models that an adapter moved.",
    citations=("hu2022lora", "wortsman2022robust"),
    colour="#009E73",
    marker="8",
)
@dataclass(frozen=True)
class AdapterScale(Merging):
    """θ₀ + scale · (θ - θ₀) for a model whose difference from the base is an adapter's ΔW.

    Hu et al. 2022 (arXiv 2106.09685): ΔW = α/r · BA, so this is what PEFT's scaling
    of the adapter gives, 0 the base and 1 the tuned model. The product is scaled as a whole: two
    adapters' A and B added apart would have cross terms. Weights whose part is `but` are the tuned
    model's, as a connector beside the adapter is (SALMONN, arXiv 2310.13289, section 3.3).
    """

    most: ClassVar[int | None] = 1

    scale: float
    but: str | None = field(default=None, repr=False)

    def recipe(self) -> dict[str, Any]:
        recipe = super().recipe()
        if self.but is None:
            del recipe["but"]
        return recipe

    def coefficients(self, count: int) -> tuple[float, tuple[float, ...]] | None:
        return None if self.but else (1.0 - self.scale, (self.scale,))

    def survey(self, base: State, models: Sequence[State], tools: Tools | None) -> Any:
        if self.but is None:
            return frozenset()
        assert tools is not None, "parts are known by the engine alone"
        return frozenset(name for name in base if tools.part(name).kind == self.but)

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        if name in (survey or ()):
            return models[0].clone()
        return base + self.scale * (models[0] - base)
