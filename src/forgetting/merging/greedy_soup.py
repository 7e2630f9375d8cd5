"""Greedy soups: a model enters the mean if that does not get worse."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar

import torch

from forgetting.merging.base import Merging, State, Tools, mean
from forgetting.method import method
from forgetting.tasks import Task


@method(title="Greedy soup", see="Soup", colour="#0072B2", marker="<")
@dataclass(frozen=True)
class GreedySoup(Merging):
    """The best model, and of the others, in order, those that do not make the mean worse.

    Wortsman et al. 2022 (arXiv 2203.05482, recipe 1: "not worse", where their code asks for
    better). What counts is the mean cross-entropy of the answers in the part "choose" of `task`;
    report on the part "report" alone. The base is not one of the models.
    """

    costs: ClassVar[bool] = True

    task: Task

    def survey(self, base: State, models: Sequence[State], tools: Tools | None) -> list[int]:
        """Numbers of the models that are in the soup."""
        asked = self.needs(tools)
        alone = [fmean(asked.nats(model, self.task, "choose")) for model in models]
        first, *others = sorted(range(len(models)), key=alone.__getitem__)
        chosen, best = [first], alone[first]
        for number in others:
            tried = [*chosen, number]
            together = {name: mean([models[i][name].float() for i in tried]) for name in base}
            nats = fmean(asked.nats(together, self.task, "choose"))
            if nats <= best:
                chosen, best = tried, nats
        return chosen

    def tensor(
        self, name: str, base: torch.Tensor, models: Sequence[torch.Tensor], survey: Any
    ) -> torch.Tensor:
        return mean([models[number] for number in survey])
