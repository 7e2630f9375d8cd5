"""What chapters about an aligned start share: their arms at their ends, and who refuses what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from forgetting.chapters import published
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.experiments.experiment import Experiment
from forgetting.views import theme
from forgetting.views.theme import PAGE_WIDTH, Looks, sign, style


def ends(
    design: Experiment, stored: Sequence[Run], looks: Looks, fast: str, slow: str
) -> dict[str, list[Run]]:
    """Each arm as its training ended at its own central rate, in the experiment's order.

    `slow` is the arm that continues the curve of `fast` at a lower rate.
    """
    central = published.central_rate(stored)
    groups: dict[str, list[Run]] = {}
    for run in published.whole(design, stored):
        name = run.labels["method"]
        slower = name == fast and run.labels["learning_rate"] != central
        if not run.start:
            groups.setdefault(slow if slower else name, []).append(run)
    order = [fast, slow, *looks]
    return {name: groups[name] for name in dict.fromkeys(order) if name in groups}


def looks_of(design: Experiment, fast: str, slow: str) -> Looks:
    """The look of each arm, and of `slow`, which elsewhere continues the curve of `fast`."""
    looks = theme.looks(design)
    looks[slow] = theme.Look(theme.tint(looks[fast].colour, 0.4), looks[fast].marker)
    return looks


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
