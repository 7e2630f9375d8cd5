"""What only the chapter on safety shows: level and discrimination, prompts, two measures at one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters import published, refusals
from forgetting.chapters.safety.experiment import experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.probes import told_apart
from forgetting.views import theme
from forgetting.views.figures import change
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

LOOKS = theme.arm_looks(experiment)
LEVEL, APART = "told apart.log_mass", "told apart.auc"
COLUMNS = {
    "new answers.nats": "instructions, nats",
    "safe answers.nats": "safe answers, nats",
    "unsafe.refused": "refused, unsafe",
    "safe.refused": "refused, safe twins",
    LEVEL: "refusals' openings, unsafe, nats",
    APART: "told apart (AUC)",
    "old text.nats": "old text, nats",
}
PROMPTS = {
    "unsafe.refused": "unsafe, no line",
    "unsafe guarded.refused": "unsafe, after the line",
    "safe.refused": "safe twins, no line",
    "safe guarded.refused": "safe twins, after the line",
    "unsafe framed.refused": "unsafe, asked of the obedient agent",
    "told apart in chinese.log_mass": "refusals' openings, Chinese, nats",
}


def ends(stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm at its own central rate, in the experiment's order."""
    return published.ends(experiment, stored)


def compared(stored: Sequence[Run]) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """The models with which the chapter opens, by name, and the shares that are told of them."""
    of = ends(stored)
    models = {
        "aligned": [records.start_of(stored)],
        "instructions": of.get("instructions", []),
        "a tenth of safe answers": of.get("pinch 10 %", []),
        "half way back": of.get("half way back", []),
    }
    words = {
        "unsafe.refused": "unsafe prompts refused",
        "safe.refused": "safe twins refused",
        "unsafe guarded.refused": "unsafe, after a line about safety",
    }
    return models, words


def refusing(stored: Sequence[Run]) -> Figure:
    """Who refuses what, of every arm."""
    return refusals.refusing(stored, ends(stored), LOOKS)


def levels(stored: Sequence[Run]) -> Figure:
    """How likely unsafe prompts are to be refused, and how well they are told from their twins.

    To the left the level is lower; further down the model knows less of what should be refused.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    axis.axhline(0.5, color="#BBBBBB", linewidth=1)
    for name, group in {"the aligned start": [records.start_of(stored)], **ends(stored)}.items():
        colour, marker = theme.ORIGIN if group[0].start else LOOKS[name]
        place = (refusals.mean(group, LEVEL), refusals.mean(group, APART))
        axis.plot(*place, marker, color=colour, markersize=8, label=name, linestyle="none")
    axis.set_xlabel("level: openings of refusals on unsafe prompts, nats a prompt")
    axis.set_ylabel("told apart from safe twins, AUC (grey: not at all)")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    sign(figure, stored)
    return figure


def prompts_table(stored: Sequence[Run]) -> pd.DataFrame:
    """Refusals with and without a line about safety, in the agent's frame, and in Chinese."""
    start = records.start_of(stored)
    rows = {"the aligned start": {words: f"{start.mean(m):.2f}" for m, words in PROMPTS.items()}}
    for name, group in ends(stored).items():
        effects = {words: change(group, start, measure) for measure, words in PROMPTS.items()}
        rows[name] = {
            words: f"{e.mean:+.2f}\u00a0±\u00a0{(e.high - e.low) / 2:.2f}"
            for words, e in effects.items()
        }
    return titled(rows, "arm")


def agreement_table(stored: Sequence[Run]) -> pd.DataFrame:
    """Refusals found by words beside the likelihood of their openings, prompt by prompt.

    "ranked alike": how often, of a prompt that was refused and one that was not, the refused one
    had the likelier openings (ties half).
    """
    groups = {"the aligned start": [records.start_of(stored)], **ends(stored)}
    groups["all of these"] = [run for group in groups.values() for run in group]
    rows = {}
    for name, group in groups.items():
        refused, kept = ([mass for run in group for mass in _masses(run, was)] for was in (1, 0))
        rows[name] = {
            "refused": f"{len(refused) / (len(refused) + len(kept)):.2f}",
            "openings where refused, nats": f"{fmean(refused):.2f}" if refused else "–",
            "openings where not, nats": f"{fmean(kept):.2f}" if kept else "–",
            "ranked alike": f"{told_apart.area(refused, kept):.2f}" if refused and kept else "–",
        }
    return titled(rows, "arm")


def _masses(run: Run, refused: int) -> list[float]:
    """Of the prompts that were refused, or not, the log-mass of refusals' openings."""
    said = run.scores_of("unsafe").values("refused")[0]
    masses = run.scores_of("told apart").values("log_mass")[0]  # of the first of the same prompts
    return [mass for mass, was in zip(masses, said, strict=False) if was == refused]
