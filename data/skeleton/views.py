"""What only the chapter `NAME` draws."""

from __future__ import annotations

from functools import partial

from forgetting.chapters.NAME.experiment import experiment
from forgetting.views import figures, theme

LOOKS = theme.looks(experiment)
COLUMNS = {
    "chinese.nats": "Chinese (nats)",
    "english.nats": "English (nats)",
    "formats.followed": "formats kept",
}

# Learned Chinese against lost English.
plane = partial(
    figures.plane,
    looks=LOOKS,
    learned="chinese.nats",
    losses={"english.nats": "lost: English, change in nats a token"},
    skill="held-out Chinese",
)
