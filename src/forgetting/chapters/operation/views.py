"""What only the first chapter draws."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from forgetting.chapters.operation.experiment import experiment
from forgetting.evidence.records import Run
from forgetting.views import figures, theme

LOOKS = theme.looks(experiment)


def plane(runs: Sequence[Run]) -> Figure:
    """Learned labels against lost JSON answers and against drift on old answers."""
    return figures.plane(
        runs,
        LOOKS,
        learned="new answers.nats",
        losses={
            "json answers.nats": "lost: JSON answers, change in nats a token",
            "old answers.forward_kl": "drift on old answers, nats a token",
        },
        skill="labels",
    )
