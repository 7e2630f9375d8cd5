"""REINFORCE on the bit: right answers become likelier, wrong ones less, one at a time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.adaptation.base import Write, recipe_of, require_steps
from forgetting.adaptation.gradient import Optimiser, log_likelihoods
from forgetting.method import method
from forgetting.tuning.base import Tuning


@method(
    title="REINFORCE on the bit",
    idea="The model draws its answer, is told whether it was right, and makes it likelier or less "
    "so, by how much better this went than usual. A wrong answer teaches as well.",
    equation=r"\theta \leftarrow \theta + \eta\, (r_t - \bar r_{<t})\, \nabla \log "
    r"\pi_\theta(\hat y_t \mid x_t), \qquad \hat y_t \sim \pi_\theta(\cdot \mid x_t)",
    cost="A forward and a backward pass for every question; drawn answers are wrong more often "
    "than the likeliest ones.",
    use="Where wrong answers are to teach, too.",
    citations=("wu2024streambench", "williams1992reinforce"),
    colour="#7A7A00",
    marker="H",
)
@dataclass(frozen=True)
class StreamReinforce:
    """One AdamW step after each answer (Williams 1992), the baseline the mean of the bits so far.

    The baseline is ½ before the first; where bit and baseline are equal there is no step, so that
    wrong answers teach from the first right one on. The policy is over the answers that there are,
    where the task has a closed set, else over tokens. `seed` draws answers. Raises `ValueError` for
    a rate that is no positive number.
    """

    kind: ClassVar[str] = "StreamReinforce"

    tune: Tuning
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        require_steps(self.tune, self.learning_rate)

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Drawing:
        return Drawing(self, write, Optimiser(model, self.learning_rate))


@dataclass
class Drawing:
    """A model that draws its answers, and moves after each."""

    how: StreamReinforce
    write: Write
    optimiser: Optimiser
    bits: list[bool] = field(default_factory=list)

    def answer(self, prompt: str) -> str:
        return self.write(prompt, draw=random.Random(f"{self.how.seed} {len(self.bits)}").random())

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        baseline = sum(self.bits) / len(self.bits) if self.bits else 0.5
        self.bits.append(right)
        rows = self.write.choices(prompt) or {answer: self.write.row(prompt, answer)}

        def loss() -> torch.Tensor:
            sums = [part.sum() for part in log_likelihoods(self.optimiser.model, [*rows.values()])]
            among = torch.stack(sums)
            if len(rows) > 1:
                among = among.log_softmax(dim=0)
            return -(right - baseline) * among[[*rows].index(answer)]

        if right != baseline:
            self.optimiser.step(loss)
