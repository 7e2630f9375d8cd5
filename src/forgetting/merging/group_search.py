"""A search over how much of each group of weights is added."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar

import torch

from forgetting import checking
from forgetting.checking import BadValue
from forgetting.merging.base import Merging, State, Tools, changes, total
from forgetting.method import method
from forgetting.models.parts import Part
from forgetting.tasks import Task

STACK = ("early", "middle", "late")


@method(
    title="Search by group",
    idea="How much of a change to add need not be one number. A few numbers, for embeddings, "
    "attention in three thirds of the model, MLPs and norms, are tried at random, and what does "
    "best on held-out items is taken.",
    equation=r"\theta_g = \theta_{0,g} + \sum_i w_{g,i}\, \delta_{i,g}, \qquad w = "
    r"\arg\min_{w^{(1)}, \dots, w^{(T)}} L_{\text{held out}}(\theta(w))",
    cost="A merge and a reading of the held-out items for each try.",
    use="To ask whether layers want different strengths. Compare it with one strength found with "
    "as many tries, and report on items that nothing was chosen by.",
    citations=("akiba2025evolutionary",),
    colour="#332288",
    marker="P",
)
@dataclass(frozen=True)
class GroupSearch(Merging):
    """The best of `tries` random weights by group, on the part "choose" of `task`.

    A small form of Akiba et al. 2025 (arXiv 2403.13187), who search a weight and a
    density a layer with CMA-ES. Groups are embedding with head, early, middle and late attention,
    MLP, norm. The first try is the mean of the models, all further ones draw each weight between 0
    and `most_weight`; the lowest mean cross-entropy of the answers wins. With `apart=False` all
    groups have one weight a model: the comparison at the same budget. What was chosen looks
    better on the items that chose it: report on the part "report".
    """

    costs: ClassVar[bool] = True

    task: Task
    seed: int
    tries: int = 40
    most_weight: float = 1.0
    apart: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checking.whole("tries", self.tries, 1)
        if self.most_weight <= 0:
            raise BadValue(f"most_weight={self.most_weight!r}: has to be above 0")

    def survey(
        self, base: State, models: Sequence[State], tools: Tools | None
    ) -> dict[str, list[float]]:
        """By name, the weight of each model."""
        asked = self.needs(tools)
        of = groups({name: asked.part(name) for name in base})
        if not self.apart:
            of = dict.fromkeys(of, "everything")
        dice, kinds, count = random.Random(self.seed), sorted(set(of.values())), len(models)
        tried = [{kind: [1 / count] * count for kind in kinds}]
        for _ in range(self.tries - 1):
            draw = {k: [dice.uniform(0, self.most_weight) for _ in models] for k in kinds}
            tried.append(draw)
        losses = []
        for weights in tried:
            by_name = {name: weights[of[name]] for name in base}
            state = {n: _sum(base[n], [m[n] for m in models], by_name[n]) for n in base}
            losses.append(fmean(asked.nats(state, self.task, "choose")))
        finite = [i for i, loss in enumerate(losses) if loss == loss]
        if not finite:
            raise BadValue(f"task={self.task.name!r}: no merge of {self.tries} gives it a number")
        best = tried[min(finite, key=losses.__getitem__)]
        return {name: best[of[name]] for name in base}

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        return _sum(base, models, survey[name])


def groups(parts: Mapping[str, Part]) -> dict[str, str]:
    """The group of each parameter: attention by thirds of the stack, what else by its kind."""
    blocks = 1 + max((part.block or 0 for part in parts.values()), default=0)

    def group(part: Part) -> str:
        if part.kind == "attention" and part.block is not None:
            return f"{STACK[3 * part.block // blocks]} attention"
        return "embedding" if part.kind == "head" else part.kind

    return {name: group(part) for name, part in parts.items()}


def _sum(
    base: torch.Tensor, models: Sequence[torch.Tensor], weights: Sequence[float]
) -> torch.Tensor:
    start = base.float()
    return start + total(weights, changes(start, [model.float() for model in models]))
