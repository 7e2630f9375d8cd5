"""Weights that move while a recogniser listens: which, by what steps, and back again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, get_args

import torch
from torch import nn

from forgetting.checking import BadValue, whole

Moves = Literal["norms", "norms and convolutions", "everything"]
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "norms": (nn.LayerNorm,),
    "norms and convolutions": (nn.LayerNorm, nn.Conv1d),
    "everything": (nn.Module,),
}
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
    """A recogniser whose `moves` take steps of AdamW without weight decay; dropout is off."""

    model: Any
    moves: Moves
    learning_rate: float
    moving: dict[str, nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.model.eval()
        self.moving = moving(self.model, self.moves)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = name in self.moving
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
            self.optimiser.state[parameter] = {k: v.clone() for k, v in kept.items() if v is not None}


def moving(model: nn.Module, moves: Moves) -> dict[str, nn.Parameter]:
    """The parameters that may move, by name. Raises `BadValue` for another word."""
    if moves not in KINDS:
        raise BadValue(f"moves={moves!r}: one of {', '.join(get_args(Moves))}")
    owners = (name for name, m in model.named_modules() if isinstance(m, KINDS[moves]))
    found = {
        f"{owner}.{name}".lstrip("."): parameter
        for owner in owners
        for name, parameter in model.get_submodule(owner).named_parameters(recurse=False)
    }
    return {name: p for name, p in model.named_parameters() if name in found}


def recipe_of(how: Any) -> dict[str, Any]:
    """The kind and the fields of a way of adapting, one within it too."""
    return {"kind": how.kind, **asdict(how)}


def checked(steps: int, learning_rate: float) -> None:
    """Raise `BadValue` for steps below 1, and for a rate that is no share."""
    whole("steps", steps, 1)
    if not 0 < learning_rate < 1:
        raise BadValue(f"learning_rate={learning_rate}: one between 0 and 1 is needed")
