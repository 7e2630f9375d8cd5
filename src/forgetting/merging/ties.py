"""TIES: trim, elect a sign, average those that have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from forgetting.checking import BadValue
from forgetting.merging.base import Merging, State, Tools, changes, require_density, shares
from forgetting.merging.sparse import agreeing, largest
from forgetting.method import method

SCOPES = ("tensor", "global")


@method(
    title="TIES",
    idea="Models that learned apart pull many weights in opposite directions, and small changes "
    "dilute large ones. So each keeps its largest changes alone, each weight takes the direction "
    "that weighs more, and the mean is that of the models that go there.",
    equation=r"\gamma = \operatorname{sgn} \sum_i w_i \hat\delta_i, \qquad \theta = \theta_0 + "
    r"\lambda\, \frac{\sum_{i:\, \operatorname{sgn} \hat\delta_i = \gamma} w_i \hat\delta_i}"
    r"{\sum_{i:\, \operatorname{sgn} \hat\delta_i = \gamma} w_i}",
    cost="A sort of each model's changes, and all changes of a tensor in memory at a time.",
    use="For several models that conflict. With one model it is no identity: what is trimmed is "
    "gone. Tune the strength on held-out items, and task arithmetic's too, before comparing.",
    citations=("yadav2023ties",),
    colour="#D55E00",
    marker="P",
)
@dataclass(frozen=True)
class TIES(Merging):
    """Trim, elect, disjoint mean: Yadav et al. 2023 (arXiv 2306.01708, algorithm 1).

    In this order: each δᵢ = θᵢ - θ₀ keeps the `density` of largest |δ|, exactly ⌊density · n⌋ of n
    and at least one; each is multiplied by its weight; the sign of the sum is elected, + where the
    sum is 0; what has this sign is added up and divided by the sum of its weights; times `scale`.
    The paper keeps 20 % of all weights of a model together (`scope="global"`) and takes a scale of
    1 where nothing can be validated, .8 to 2.5 else; MergeKit and PEFT keep 20 % of each tensor
    (`scope="tensor"`), which are other weights where layers moved by different amounts. Raises
    `ValueError` for a negative weight: divided by itself it would be positive.
    """

    density: float = 0.2
    scale: float = 1.0
    weights: tuple[float, ...] | None = None
    scope: Literal["tensor", "global"] = "tensor"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_density(self.density)
        if self.scope not in SCOPES:
            raise BadValue(f"scope={self.scope!r}: one of {', '.join(SCOPES)}")
        if min(self.weights or (0.0,)) < 0:
            raise BadValue(
                f"weights={self.weights!r}: TIES divides by them, so that a negative one would "
                "add; negate with TaskArithmetic"
            )

    def survey(
        self, base: State, models: Sequence[State], tools: Tools | None
    ) -> dict[str, list[torch.Tensor]]:
        """By name, what each model keeps where it is chosen among all its weights."""
        kept: dict[str, list[torch.Tensor]] = {name: [] for name in base}
        if self.scope == "global":
            sizes = [tensor.numel() for tensor in base.values()]
            moved = torch.empty(sum(sizes))
            for model in models:
                for name, part in zip(base, moved.split(sizes), strict=True):
                    part.copy_((model[name].float() - base[name].float()).flatten())
                chosen = largest(moved, self.density).split(sizes)
                for name, part in zip(base, chosen, strict=True):
                    kept[name].append(part)
        return kept

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        moved = torch.stack(changes(base, models)).flatten(start_dim=1)
        kept = survey[name] or [largest(each, self.density) for each in moved]
        weights = torch.tensor(shares(self.weights, len(models)))[:, None]
        weighted = moved * torch.stack(kept) * weights
        agree = agreeing(weighted)
        divisor = (weights * agree).sum(dim=0)
        mean = (weighted * agree).sum(dim=0) / torch.where(divisor == 0, 1.0, divisor)
        return base + self.scale * mean.view_as(base)
