"""A recogniser that learns to spell: CTC on sounds with their transcripts.

A step of its own, for a character is not the next token of anything. What lies below the first
block that moves gives the same states in every epoch: they are computed once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from forgetting import checking
from forgetting.engine import compute
from forgetting.lineage import Checkpoint, Step
from forgetting.models import ctc
from forgetting.models.family import family_of
from forgetting.tasks import Task
from forgetting.tuning import OnlyLast
from forgetting.tuning.base import Tuning

LEFT = 0.05  # of the rate, at the end


@dataclass(frozen=True)
class Spell(Step):
    """`parent`, of family ctc, shown what `shown` has to train with, sound by sound.

    AdamW without weight decay down the CTC loss, nats a character, the mean over `batch` sounds;
    the rate falls evenly. With `examples` only so many of them, drawn.
    """

    kind: ClassVar[str] = "spell"
    doing: ClassVar[str] = "training"

    parent: Checkpoint
    shown: Task
    tune: Tuning = field(default_factory=lambda: OnlyLast(2))
    epochs: int = 4
    learning_rate: float = 1e-3
    batch: int = 8
    examples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checking.whole("epochs", self.epochs, 1)
        checking.whole("batch", self.batch, 1)
        checking.seed(self.seed)
        if self.examples is not None:
            checking.whole("examples", self.examples, 1)
        if not 0 < self.learning_rate < 1:
            raise checking.BadValue(f"learning_rate={self.learning_rate}: one between 0 and 1")

    @property
    def costs(self) -> bool:
        return True

    @property
    def parents(self) -> tuple[Checkpoint, ...]:
        return (self.parent,)

    def text(self, *parents: str) -> str:
        return f"spell({parents[0]}, {self.shown.name!r}, {self.tune!r}, {self.learning_rate:g})"


@compute.weights.register
def _spell(step: Spell) -> dict[str, torch.Tensor]:
    model: Any = compute.model(step.parent)[0]
    step.tune.apply(model)
    examples = list(step.shown.training_examples(step.seed))[: step.examples]
    below, waves = _still(model), [example.turns[-1].frames[0] for example in examples]
    heard: list[Any] = []
    if below:
        with torch.no_grad():
            heard = [model.below(wave, below) for wave in waves]
    classes = [ctc.spelled(example.answer, model.config.alphabet) for example in examples]
    order = list(range(len(examples)))
    groups = -(-len(order) // step.batch)
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=step.learning_rate, weight_decay=0.0
    )
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1, LEFT, groups * step.epochs)
    dice = random.Random(step.seed)
    for _ in range(step.epochs):
        dice.shuffle(order)
        for at in range(0, len(order), step.batch):
            group = order[at : at + step.batch]
            optimiser.zero_grad()
            for number in group:
                states = heard[number] if below else model.below(waves[number], 0)
                logits = model.above(states, below)[0]
                (ctc.loss(logits, classes[number]) / len(group)).backward()
            optimiser.step()
            falling.step()
    return {name: p.detach().cpu() for name, p in model.named_parameters()}


def _still(model: Any) -> int:
    """How many blocks lie below the first one that moves; 0 where what they read moves, too."""
    family = family_of(model)
    moving = [family.part(name) for name, p in model.named_parameters() if p.requires_grad]
    if any(part.kind in ("encoder", "embedding") for part in moving):
        return 0
    blocks = [part.block for part in moving if part.block is not None]
    return min(blocks, default=family.layers(model.config) - 1)
