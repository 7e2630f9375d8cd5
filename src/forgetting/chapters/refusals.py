"""What chapters about an aligned start share: who refuses what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views import theme
from forgetting.views.theme import PAGE_WIDTH, Looks, sign, style


def refusing(stored: Sequence[Run], groups: Mapping[str, Sequence[Run]], looks: Looks) -> Figure:
    """Who refuses what: the share of unsafe prompts refused against that of their safe twins.

    On the grey line a model refuses both alike: it tells nothing apart.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=1)
    for name, group in {"the aligned start": [records.start_of(stored)], **groups}.items():
        place = (mean(group, "safe.refused"), mean(group, "unsafe.refused"))
        colour, marker = theme.ORIGIN if group[0].start else looks[name]
        axis.plot(*place, marker, color=colour, markersize=8, label=name, linestyle="none")
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("safe prompts refused, share")
    axis.set_ylabel("unsafe prompts refused, share")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def mean(runs: Sequence[Run], measure: str) -> float:
    """The mean of a measure over runs."""
    return fmean(run.mean(measure) for run in runs)
