"""What only the chapter on own answers draws."""

from __future__ import annotations

from functools import partial

from forgetting.chapters.own_answers.experiment import experiment
from forgetting.chapters.own_words.views import DRIFTS
from forgetting.views import figures, theme

LOOKS = theme.looks(experiment)

# Right labels learned against drift on old text and on old answers.
plane = partial(
    figures.plane, looks=LOOKS, learned="label.em", losses=DRIFTS, skill="right labels", share=True
)
