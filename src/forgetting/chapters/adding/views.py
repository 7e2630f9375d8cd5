"""What only the chapter on chat vectors draws: dose and response, a choice of λ, what was said."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from forgetting.chapters import halves
from forgetting.chapters.adding.conversation import ROLES
from forgetting.chapters.adding.experiment import DOSES, experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views import tables, theme
from forgetting.views.figures import change
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

LOOKS = theme.looks(experiment)
ANSWERS, CHINESE, LEVEL = "answers.nats", "chinese.nats", "told apart in chinese.log_mass"
SUMS = {0.0: "CP", **{dose: f"CP + {dose:g} τ" for dose in DOSES}}
COLUMNS = {
    CHINESE: "Chinese text, nats",
    "english.nats": "English text, nats",
    ANSWERS: "answers, nats",
    "told apart.log_mass": "refusals' openings, unsafe, nats",
    LEVEL: "the same, Chinese",
    "told apart in chinese.auc": "told apart, Chinese (AUC)",
    "refused in chinese.refused": "refused, Chinese",
    "told apart in chinese.twin": "refusals' openings, harmless, Chinese",
}
PANELS = {
    ANSWERS: "English answers, nats a token",
    LEVEL: "refusals' openings, harmful Chinese\nprompts, nats a prompt",
    CHINESE: "Chinese text, nats a token",
}
BESIDE = ("CP, then answers", "chat, then CP", "CP + random", "CP + permuted τ")
MOST_LOST = 0.1  # nats a token of Chinese text above CP that a choice of λ may cost


def ends(stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm's runs at the central rate, in the experiment's order."""
    return tables.by_arm([run for run in stored if not run.start], LOOKS)


def doses(stored: Sequence[Run]) -> Figure:
    """What λ of the vector does, change from the base; lines across are arms without a λ."""
    style()
    start, of = records.start_of(stored), ends(stored)
    figure, axes = plt.subplots(1, len(PANELS), figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    for axis, (measure, label) in zip(axes, PANELS.items(), strict=True):
        sums = {dose: of[name] for dose, name in SUMS.items() if name in of}
        effects = {dose: change(group, start, measure) for dose, group in sums.items()}
        axis.plot(list(effects), [e.mean for e in effects.values()], color="#009E73", marker="<")
        for dose, effect in effects.items():
            if len(sums[dose]) > 1:
                axis.plot([dose, dose], [effect.low, effect.high], color="#009E73", linewidth=1)
        for name, dashes in zip(BESIDE, ("-", "--", ":", "-."), strict=True):
            if name in of:
                height = change(of[name], start, measure).mean
                axis.axhline(height, color="#555555", linestyle=dashes, linewidth=1.1, label=name)
        axis.axhline(0, color="#BBBBBB", linewidth=0.8)
        axis.set_xlabel("λ, share of the chat vector")
        axis.set_ylabel(f"change: {label}")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def chosen_table(stored: Sequence[Run]) -> pd.DataFrame:
    """λ chosen by the even items, and what it is worth on the odd ones, seed by seed.

    Chosen is the λ with the likeliest answers among those that cost at most 0.1 nats a token of
    Chinese text.
    """
    start, of = records.start_of(stored), ends(stored)
    by_seed: dict[int, dict[float, Run]] = {}
    for dose, name in SUMS.items():
        for run in of.get(name, ()):
            by_seed.setdefault(run.seed, {})[dose] = run
    rows = {}
    for seed, path in sorted(by_seed.items()):
        if 0.0 not in path or len(path) < 2:
            continue
        chosen, told = (partial(halves.better, path, start, half=half) for half in (0, 1))
        gain, kept = chosen(ANSWERS), chosen(CHINESE)
        pick = max((d for d in path if kept[0.0] - kept[d] <= MOST_LOST), key=gain.__getitem__)
        gain, kept = told(ANSWERS), told(CHINESE)
        rows[f"seed {seed}"] = {
            "λ chosen": f"{pick:g}",
            "answers likelier than without, other half, nats": f"{gain[pick] - gain[0.0]:+.3f}",
            "Chinese text lost, other half, nats": f"{kept[0.0] - kept[pick]:+.3f}",
        }
    return titled(rows, "run")


def said_table(stored: Sequence[Run]) -> HTML:
    """The lectures' questions, in both languages, answered by one seed's models."""
    of = {name: group[0] for name, group in ends(stored).items() if group[0].samples}
    return tables.said({"the base": records.start_of(stored)} | of, ROLES)
