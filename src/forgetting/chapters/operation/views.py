"""What only the first chapter draws."""

from __future__ import annotations

from functools import partial

from forgetting.chapters.operation.experiment import experiment
from forgetting.views import figures, theme

LOOKS = theme.looks(experiment)

# Learned labels against lost JSON answers and against drift on old answers.
plane = partial(
    figures.plane,
    looks=LOOKS,
    learned="new answers.nats",
    losses={
        "json answers.nats": "lost: JSON answers, change in nats a token",
        "old answers.forward_kl": "drift on old answers, nats a token",
    },
    skill="labels",
)
