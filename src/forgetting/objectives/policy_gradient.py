"""REINFORCE: right answers become likelier, wrong ones less (Williams 1992)."""

from dataclasses import dataclass

import torch

from forgetting.method import method
from forgetting.objectives.base import Objective, Step, nats, require_any


@method(
    name="reinforce",
    title="REINFORCE with the task's grader",
    idea="The model answers each question several times; answers that are right become likelier "
    "and wrong ones less likely, each by how much better or worse it did than its siblings. What "
    "it learns from is its own at every round.",
    equation=r"\nabla J = \mathbb{E}_{y \sim \pi_\theta}\bigl[(r(x, y) - \bar r)\, \nabla \log "
    r"\pi_\theta(y \mid x)\bigr]",
    cost="Several answers drawn for each example in every round.",
    use="Where a grader exists and the model is right now and then; it learns nothing from "
    "questions that it always or never gets right.",
    citations=("chen2026retaining", "shenfeld2026razor"),
    colour="#56B4E9",
    marker="s",
)
@dataclass(frozen=True)
class PolicyGradient(Objective):
    """REINFORCE (Williams 1992): -mean over tokens of advantage · log π(token).

    Rows are what the model itself wrote just before; a row's `weights` are its advantage, the same
    for each of its tokens, and may be negative.
    """

    def loss(self, step: Step) -> torch.Tensor:
        require_any(step.wanted)
        return (step.weights * nats(step.logits, step.wanted)).mean()
