"""Weights that move while a recogniser listens: which, by what steps, and back again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from forgetting.adaptation.base import require_steps
from forgetting.checking import whole
from forgetting.tuning.base import Tuning

State = dict[str, torch.Tensor]


class Recognising(Protocol):
    """A listener at one stream of sounds: nobody tells it what was said.

    `state` is all that it remembers, by name; with `resume` another one goes on from there.
    """

    def answer(self, wave: Any) -> str:
        """What is said in a waveform, (samples,) at 16 kHz."""

    def state(self) -> State: ...

    def resume(self, state: State) -> None: ...

    def changed(self) -> None:
        """Somebody who knows says that another domain begins: an oracle."""


@dataclass
class Weights:
    """A recogniser of which `tune` moves, by steps of AdamW without weight decay; no dropout."""

    model: Any
    tune: Tuning
    learning_rate: float
    moving: dict[str, nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.tune.apply(self.model).eval()
        self.moving = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimiser = torch.optim.AdamW(
            self.moving.values(), lr=self.learning_rate, weight_decay=0.0
        )

    def step(self, losses: Iterable[Callable[[], torch.Tensor]]) -> None:
        """One step down the mean of losses, each computed by itself."""
        each = list(losses)
        self.optimiser.zero_grad()
        for loss in each:
            (loss() / len(each)).backward()
        self.optimiser.step()

    @torch.no_grad()
    def write(self, wave: Any) -> str:
        """What the model, as it is now, writes of a waveform."""
        return self.model.text(self.model.hear(wave))

    def state(self) -> State:
        """A copy of what moves and of the optimiser's moments."""
        found = {f"weight {name}": p.detach().clone() for name, p in self.moving.items()}
        for name, parameter in self.moving.items():
            for kind, value in self.optimiser.state[parameter].items():
                found[f"{kind} {name}"] = value.clone()
        return found

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Weights and moments as `state` has them, to the bit; what else it holds is left."""
        for name, parameter in self.moving.items():
            parameter.copy_(state[f"weight {name}"])
            kinds = ("step", "exp_avg", "exp_avg_sq")
            kept = {kind: state.get(f"{kind} {name}") for kind in kinds}
            self.optimiser.state[parameter] = {
                k: v.clone() for k, v in kept.items() if v is not None
            }


def checked(steps: int, learning_rate: float, tune: Any) -> None:
    """Raise `BadValue` for steps below 1, and what `require_steps` raises."""
    whole("steps", steps, 1)
    require_steps(tune, learning_rate)
