"""SUTA that is never taken back: what one utterance taught, the next one begins with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting.adaptation.base import recipe_of
from forgetting.adaptation.moving import State, Weights
from forgetting.adaptation.suta import SUTA
from forgetting.checking import whole
from forgetting.method import method
from forgetting.tuning.base import Tuning


@method(
    title="SUTA without reset",
    idea="The recogniser keeps what each utterance taught it. In one room that adds up to "
    "something; over many, or with many steps, it may come to hear nothing at all.",
    equation=r"\theta_t = \theta_{t-1} - \eta \nabla L(\theta_{t-1}, x_t)",
    cost="As SUTA; one step an utterance is usual.",
    use="To see what resetting is for.",
    citations=("lin2024continual",),
    beside=("SUTA",),
    colour="#D55E00",
    marker="p",
)
@dataclass(frozen=True)
class ContinualSUTA:
    """`suta`'s steps on each utterance; all is reset after `every` utterances, at 0 never.

    Lin et al. 2024 (arXiv 2406.11064) take one step, and reset every 50 where they reset.
    """

    kind: ClassVar[str] = "ContinualSUTA"

    suta: SUTA = field(default_factory=lambda: SUTA(steps=1))
    every: int = 0

    def __post_init__(self) -> None:
        whole("every", self.every)

    @property
    def tune(self) -> Tuning:
        return self.suta.tune

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any = None, write: Any = None) -> Continual:
        return Continual(Weights(model, self.tune, self.suta.learning_rate), self)


@dataclass
class Continual:
    """Weights and optimiser go on from utterance to utterance."""

    weights: Weights
    how: ContinualSUTA
    count: int = 0
    start: State = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.weights.state()

    def answer(self, wave: Any) -> str:
        if self.how.every and self.count == self.how.every:
            self.weights.restore(self.start)
            self.count = 0
        self.how.suta.adapt(self.weights, wave)
        self.count += 1
        return self.weights.write(wave)

    def state(self) -> State:
        return self.weights.state() | {"count": torch.tensor(self.count)}

    def resume(self, state: State) -> None:
        self.weights.restore(state)
        self.count = int(state["count"])

    def changed(self) -> None:
        pass
