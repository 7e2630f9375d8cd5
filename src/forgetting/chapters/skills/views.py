"""What only the chapter on task vectors shows: shares of single gains, what subtracting takes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters.skills.experiment import SHARES, SKILLS, experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views import tables, theme
from forgetting.views.figures import change
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

LOOKS = theme.arm_looks(experiment)
WORDS = {"sentiment": "labels", "queries": "queries", "roles": "roles"}
SUMS = tuple(f"sum × {share:g}" for share in SHARES)
JOINED = (
    *SKILLS,
    *SUMS,
    "TIES",
    "TIES, global",
    "DARE, sum × 0.5",
    "one after another",
    "all at once",
)
SUBTRACTED = ("hateful", "minus hateful", "minus harmless", "minus random")
ANALOGIES = (
    "stars of products, wrong way",
    "stars of products",
    "stars of products, by analogy",
    "stars of restaurants",
)
COLUMNS = {
    **{f"{name}.nats": f"{words}, nats" for name, words in WORDS.items()},
    "hateful lines.nats": "hateful sentences, nats",
    "harmless lines.nats": "harmless sentences, nats",
    "stars.nats": "stars of restaurants, nats",
    "old text.nats": "old text, nats",
    "old answers.nats": "old answers, nats",
}


def ends(stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm's runs at the central rate, in the experiment's order."""
    return tables.by_arm([run for run in stored if not run.start], LOOKS)


def shares_of_gain(stored: Sequence[Run], name: str) -> dict[str, list[float]]:
    """Of an arm, by skill and seed: its gain ÷ that of training on the skill alone."""
    start, of = records.start_of(stored), ends(stored)
    single = {s: {run.seed: run.mean(f"{s}.nats") for run in of.get(s, ())} for s in SKILLS}
    return {
        skill: [
            (start.mean(measure) - run.mean(measure)) / (start.mean(measure) - alone[run.seed])
            for run in of.get(name, ())
            if run.seed in alone and alone[run.seed] != start.mean(measure)
        ]
        for skill, alone in single.items()
        for measure in [f"{skill}.nats"]
    }


def joined(stored: Sequence[Run]) -> Figure:
    """Of what training on each skill alone gives, how much a joint model has; a mark a seed."""
    style()
    names = [name for name in JOINED if any(shares_of_gain(stored, name).values())]
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.0), layout="constrained")
    for offset, (skill, colour) in enumerate(
        zip(SKILLS, ("#0072B2", "#D55E00", "#009E73"), strict=True)
    ):
        for row, name in enumerate(names):
            shares = shares_of_gain(stored, name)[skill]
            height = row + 0.2 * (offset - 1)
            label = WORDS[skill] if row == 0 else None
            axis.plot(shares, [height] * len(shares), "o", color=colour, markersize=5, alpha=0.6)
            axis.plot(fmean(shares), height, "|", color=colour, markersize=13, label=label)
    for line, width in ((0, 0.8), (1, 0.8)):
        axis.axvline(line, color="#888888", linewidth=width)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("gain ÷ gain of training on the skill alone (0: as untouched, 1: as alone)")
    axis.legend(frameon=False, loc="best", fontsize=8)
    sign(figure, stored)
    return figure


def shares_table(stored: Sequence[Run]) -> pd.DataFrame:
    """Of each joint model the mean and the smallest share of single gains, over seeds."""
    rows = {}
    for name in JOINED:
        by_skill = {skill: v for skill, v in shares_of_gain(stored, name).items() if v}
        if by_skill:
            means = {WORDS[skill]: fmean(v) for skill, v in by_skill.items()}
            rows[name] = {words: f"{mean:.2f}" for words, mean in means.items()} | {
                "mean": f"{fmean(means.values()):.2f}",
                "smallest": f"{min(means.values()):.2f}",
            }
    return titled(rows, "arm")


def changed(stored: Sequence[Run], names: Sequence[str], measures: Sequence[str]) -> Figure:
    """Change of some measures from the start, arm by arm, with 95 % intervals."""
    style()
    start, of = records.start_of(stored), ends(stored)
    present = [name for name in names if name in of]
    figure, axis = plt.subplots(
        figsize=(PAGE_WIDTH, 0.8 + 0.55 * len(present)), layout="constrained"
    )
    colours = ("#CC79A7", "#0072B2", "#777777")
    for offset, (measure, colour) in enumerate(zip(measures, colours, strict=False)):
        for row, name in enumerate(present):
            effect = change(of[name], start, measure)
            height = row + 0.2 * (offset - (len(measures) - 1) / 2)
            label = COLUMNS[measure].removesuffix(", nats") if row == 0 else None
            axis.plot(effect.mean, height, "o", color=colour, markersize=6, label=label)
            if len(of[name]) > 1:
                axis.plot([effect.low, effect.high], [height, height], color=colour, linewidth=1)
    axis.axvline(0, color="#888888", linewidth=0.8)
    axis.set_yticks(range(len(present)), present)
    axis.invert_yaxis()
    axis.set_xlabel("change, nats a token (right: less likely)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    sign(figure, stored)
    return figure
