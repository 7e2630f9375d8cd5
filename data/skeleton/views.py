"""What only the chapter `NAME` draws."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from forgetting.chapters.NAME.experiment import experiment
from forgetting.evidence.records import Run
from forgetting.views import figures, theme

LOOKS = theme.looks(experiment)
COLUMNS = {
    "chinese.nats": "Chinese (nats)",
    "english.nats": "English (nats)",
    "formats.followed": "formats kept",
}


def plane(runs: Sequence[Run]) -> Figure:
    """Learned Chinese against lost English."""
    return figures.plane(
        runs,
        LOOKS,
        learned="chinese.nats",
        losses={"english.nats": "lost: English, change in nats a token"},
        skill="held-out Chinese",
    )
