"""A step of gradient on every right answer: what was right is remembered in the weights."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.adaptation.base import Write, recipe_of, require_steps
from forgetting.adaptation.gradient import Optimiser, log_likelihoods
from forgetting.method import method
from forgetting.models.rows import Row
from forgetting.tuning.base import Tuning


@method(
    title="A step on every right answer",
    idea="Whenever an answer was right, the model takes one step towards it, and with replay "
    "towards a few earlier right ones. What the stream taught stands in the weights.",
    equation=r"\theta \leftarrow \theta + \eta\, \nabla \sum_{s \in \{t\} \cup R} r_s \log "
    r"\pi_\theta(\hat y_s \mid x_s)",
    cost="A forward and a backward pass for every right answer; prompts stay short.",
    use="Where prompts may not grow; measure what else moves.",
    citations=("wu2024streambench", "hu2022lora"),
    colour="#D55E00",
    marker="H",
)
@dataclass(frozen=True)
class StreamTuning:
    """One AdamW step on each right answer, with `replayed` earlier right ones beside it.

    Ours, in the protocol of Wu et al. 2024 (arXiv 2406.08747), who do not move weights. The loss is
    the mean over rows of their answers' nats a token. `seed` draws what is replayed.
    """

    kind: ClassVar[str] = "StreamTuning"

    tune: Tuning
    learning_rate: float = 1e-3
    replayed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require_steps(self.tune, self.learning_rate)

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any, write: Write) -> Stepping:
        return Stepping(self, write, Optimiser(model, self.learning_rate))


@dataclass
class Stepping:
    """A model that takes a step after each right answer."""

    how: StreamTuning
    write: Write
    optimiser: Optimiser
    rows: list[Row] = field(default_factory=list)

    def answer(self, prompt: str) -> str:
        return self.write(prompt)

    def learn(self, prompt: str, answer: str, right: bool) -> None:
        if not right:
            return
        draw = random.Random(f"{self.how.seed} {len(self.rows)}")
        old = draw.sample(self.rows, min(self.how.replayed, len(self.rows)))
        self.rows.append(self.write.row(prompt, answer))
        step = [self.rows[-1], *old]

        def loss() -> torch.Tensor:
            nats = [part.mean() for part in log_likelihoods(self.optimiser.model, step)]
            return -torch.stack(nats).mean()

        self.optimiser.step(loss)
