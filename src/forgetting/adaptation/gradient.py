"""Small steps of gradient on a stream: what a listener that moves weights has in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from forgetting.models import agreement, shared_prefix
from forgetting.models.family import family_of, unwrapped
from forgetting.models.rows import Row, supervised


def log_likelihoods(model: Any, rows: Sequence[Row]) -> list[torch.Tensor]:
    """Of each row's supervised tokens, nats, with gradients; rows of one prompt read it once."""
    if agreement.fast(model):
        lines = shared_prefix.lines(rows)
        causal = unwrapped(model)
        logits = causal.get_output_embeddings()(shared_prefix.states(causal.base_model, lines))
        targets = torch.tensor([token for line in lines for token in line.targets])
        members = [member for line in lines for member in line.members]
    else:
        family = family_of(model)
        logits = family.head(model)(family.states(model, rows))
        targets = torch.cat([row["labels"][1:][supervised(row)] for row in rows])
        members = [(number, int(supervised(row).sum())) for number, row in enumerate(rows)]
    nats = -cross_entropy(logits.float(), targets.to(logits.device), reduction="none")
    parts = nats.split([count for _, count in members])
    by_row = {number: part for (number, _), part in zip(members, parts, strict=True)}
    return [by_row[number] for number in range(len(rows))]


@dataclass
class Optimiser:
    """AdamW without weight decay over what may move; the model stays in evaluation mode."""

    model: Any
    learning_rate: float

    def __post_init__(self) -> None:
        moving = [p for p in self.model.parameters() if p.requires_grad]
        self.adam = torch.optim.AdamW(moving, lr=self.learning_rate, weight_decay=0.0)

    def step(self, loss: Callable[[], torch.Tensor]) -> None:
        """One step down `loss`."""
        self.adam.zero_grad()
        with torch.enable_grad():
            loss().backward()
        self.adam.step()
