"""What only the chapter on own answers draws."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from forgetting.chapters.own_answers.experiment import experiment
from forgetting.chapters.own_words.views import DRIFTS
from forgetting.evidence.records import Run
from forgetting.views import figures, theme

LOOKS = theme.looks(experiment)


def plane(runs: Sequence[Run]) -> Figure:
    """Right labels learned against drift on old text and on old answers."""
    return figures.plane(
        runs, LOOKS, learned="label.em", losses=DRIFTS, skill="right labels", share=True
    )
