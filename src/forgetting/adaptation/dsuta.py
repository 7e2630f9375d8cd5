"""Dynamic SUTA: fast weights for an utterance, slow ones for a room, and a reset between rooms."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal, get_args

import torch

from forgetting.adaptation.base import recipe_of
from forgetting.adaptation.moving import State, Weights
from forgetting.adaptation.suta import SUTA
from forgetting.checking import BadValue, whole
from forgetting.method import method
from forgetting.tuning.base import Tuning

Reset = Literal["never", "dynamic", "oracle"]
PATIENCE, FAR = 2, 2.0  # so many buffers in a row, so many standard errors away


@method(
    title="Fast and slow adaptation (DSUTA)",
    idea="Each utterance is adapted to from weights that a room has shaped, and forgotten. Those "
    "take one small step every few utterances. When what is heard no longer fits what they were "
    "shaped by, they are what they were at first.",
    equation=r"\phi_{t+1} = \phi_t - \eta \nabla \tfrac{1}{M} \sum_{x \in B_t} L(\phi_t, x), "
    r"\qquad \hat y_t = f(x_t; \phi_t - \eta \textstyle\sum_{n} \nabla L)",
    cost="As SUTA with fewer steps, and one pass more an utterance.",
    use="Where rooms last for many utterances.",
    citations=("lin2024continual",),
    beside=("SUTA", "ContinualSUTA"),
    colour="#009E73",
    marker="p",
)
@dataclass(frozen=True)
class DSUTA:
    """Fast: `suta`'s steps from the slow weights. Slow: a step on the mean loss of `buffer`.

    Both begin with the slow optimiser. Lin et al. 2024 (arXiv 2406.11064, algorithm 1): 5 steps,
    buffers of 5. `reset`="dynamic" is their algorithm 2: after `shaped` / 2 utterances the slow
    weights are the room's; over the next ones up to `shaped`, how much better they fit than the
    first weights has a mean and a deviation; later, two buffers in a row whose mean is more than
    two standard errors worse reset. "oracle" resets when it is told that another room begins.
    """

    kind: ClassVar[str] = "DSUTA"

    suta: SUTA = field(default_factory=lambda: SUTA(steps=5))
    buffer: int = 5
    reset: Reset = "never"
    shaped: int = 100

    def __post_init__(self) -> None:
        whole("buffer", self.buffer, 1)
        whole("shaped", self.shaped, 6)
        if self.reset not in get_args(Reset):
            raise BadValue(f"reset={self.reset!r}: one of {', '.join(get_args(Reset))}")

    @property
    def tune(self) -> Tuning:
        return self.suta.tune

    def recipe(self) -> dict[str, Any]:
        return recipe_of(self)

    def begin(self, model: Any, tokenizer: Any = None, write: Any = None) -> FastAndSlow:
        return FastAndSlow(Weights(model, self.tune, self.suta.learning_rate), self)


@dataclass
class FastAndSlow:
    """The model holds the slow weights between utterances."""

    weights: Weights
    how: DSUTA
    first: State = field(init=False)
    room: State = field(default_factory=dict)  # the slow weights that the room has shaped
    gains: list[float] = field(default_factory=list)
    buffer: list[torch.Tensor] = field(default_factory=list)
    count: int = 0
    fails: int = 0
    resets: int = 0

    def __post_init__(self) -> None:
        self.first = self.weights.state()

    def answer(self, wave: Any) -> str:
        slow = self.weights.state()
        try:
            self.how.suta.adapt(self.weights, wave)
            said = self.weights.write(wave)
        finally:
            self.weights.restore(slow)
        self.buffer.append(torch.as_tensor(wave, dtype=torch.float32).clone())
        self.count += 1
        if self.how.reset == "dynamic":
            self._watch()
        if len(self.buffer) == self.how.buffer:
            if self._strange():
                self.begin_again()
            else:
                self.weights.step([partial(self._loss, wave) for wave in self.buffer])
            self.buffer = []
        return said

    def changed(self) -> None:
        if self.how.reset == "oracle":
            self.begin_again()

    def begin_again(self) -> None:
        """Everything as it was before the first utterance."""
        self.weights.restore(self.first)
        self.room, self.gains, self.buffer, self.count, self.fails = {}, [], [], 0, 0
        self.resets += 1

    def _loss(self, wave: torch.Tensor) -> torch.Tensor:
        return self.how.suta.loss(self.weights.model.hear(wave.numpy()))

    @torch.no_grad()
    def _gain(self, wave: torch.Tensor) -> float:
        """How much higher the loss of the room's weights is than that of the first ones."""
        slow = self.weights.state()
        losses = []
        for state in (self.room, self.first):
            self.weights.restore(state)
            losses.append(float(self._loss(wave)))
        self.weights.restore(slow)
        return losses[0] - losses[1]

    def _watch(self) -> None:
        """The utterance just heard helps to describe the room."""
        if self.room and self.count <= self.how.shaped:
            self.gains.append(self._gain(self.buffer[-1]))
        if self.count == self.how.shaped // 2 + 1:
            self.room = self.weights.state()

    def _strange(self) -> bool:
        """Whether buffers no longer fit the room; counts those in a row that do not."""
        if self.how.reset != "dynamic" or self.count <= self.how.shaped:
            return False
        mean, deviation = statistics.fmean(self.gains), statistics.stdev(self.gains)
        apart = statistics.fmean(map(self._gain, self.buffer)) - mean
        strange = apart * len(self.buffer) ** 0.5 > FAR * deviation
        self.fails = self.fails + 1 if strange else 0
        return self.fails == PATIENCE

    def state(self) -> State:
        counts = [self.count, self.fails, self.resets]
        return {
            **self.weights.state(),
            **{f"room {name}": tensor for name, tensor in self.room.items()},
            **{f"buffer {place}": wave for place, wave in enumerate(self.buffer)},
            "gains": torch.tensor(self.gains, dtype=torch.float64),
            "counts": torch.tensor(counts),
        }

    def resume(self, state: State) -> None:
        self.weights.restore(state)
        self.room = {n.removeprefix("room "): t for n, t in state.items() if n.startswith("room ")}
        waves = sum(name.startswith("buffer ") for name in state)
        self.buffer = [state[f"buffer {place}"] for place in range(waves)]
        self.gains = state["gains"].tolist()
        self.count, self.fails, self.resets = state["counts"].tolist()
