"""What only the chapter on safety shows: level and discrimination, prompts, two measures at one."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.chapters import refusals
from forgetting.chapters.safety.experiment import experiment
from forgetting.evidence import records
from forgetting.evidence.records import Run
from forgetting.views import theme
from forgetting.views.figures import change
from forgetting.views.tables import titled
from forgetting.views.theme import PAGE_WIDTH, sign, style

SLOW = "instructions ÷3"  # a third of the rate; elsewhere it continues that of "instructions"
LOOKS = refusals.looks_of(experiment, "instructions", SLOW)
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
    return refusals.ends(experiment, stored, LOOKS, "instructions", SLOW)


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

    The last row says how often, of a prompt that was refused and one that was not, the refused one
    had the likelier openings (ties half), all arms together.
    """
    rows, refused, masses = {}, [], []
    for name, group in {"the aligned start": [records.start_of(stored)], **ends(stored)}.items():
        words, mass = (
            np.concatenate([run.scores_of(role).values(metric)[0] for run in group])
            for role, metric in (("unsafe", "refused"), ("told apart", "log_mass"))
        )
        counts = [len(run.scores_of("told apart").values("log_mass")[0]) for run in group]
        asked = len(words) // len(group)
        words = np.concatenate(
            [words[at * asked : at * asked + count] for at, count in enumerate(counts)]
        )
        rows[name] = {
            "refused": f"{words.mean():.2f}",
            "openings where refused, nats": _mean_or_dash(mass[words == 1]),
            "openings where not, nats": _mean_or_dash(mass[words == 0]),
        }
        refused.append(words)
        masses.append(mass)
    said, mass = np.concatenate(refused), np.concatenate(masses)
    yes, no = mass[said == 1], mass[said == 0]
    agree = np.nan
    if len(yes) and len(no):
        agree = float(np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no)))
    rows["all, ranked alike"] = {
        "refused": f"{said.mean():.2f}",
        "openings where refused, nats": f"{agree:.2f}",
        "openings where not, nats": "",
    }
    return titled(rows, "arm")


def _mean_or_dash(values: np.ndarray) -> str:
    return f"{values.mean():.2f}" if len(values) else "–"
