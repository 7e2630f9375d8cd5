"""What only the chapter on freezing draws: what moves, and the paper's table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from forgetting.chapters.freezing.experiment import arms, experiment
from forgetting.evidence import records
from forgetting.evidence.papers import Table
from forgetting.evidence.records import Run
from forgetting.experiments.arms import Training
from forgetting.lineage import Checkpoint
from forgetting.models.parts import Part
from forgetting.tuning import Full
from forgetting.tuning.base import Adapter, Tuning
from forgetting.views import figures, tables, theme
from forgetting.views.theme import PAGE_WIDTH, style

LOOKS = theme.looks(experiment)
COLUMNS = {
    "chinese.nats": "Chinese (nats)",
    "chat.nats": "chat answers (nats)",
    "english.nats": "English (nats)",
    "hellaswag.acc_norm": "HellaSwag, by length",
    "arc.acc": "ARC-easy",
    "winogrande.acc": "WinoGrande",
    "formats.followed": "formats kept",
    "margin harmful.gold_margin": "refusal margin (nats)",
    "margin harmless.gold_margin": "over-refusal margin (nats)",
    "questions in chinese.language_kept": "Chinese kept",
    "questions in chinese.repetition_answer": "repetition",
    "questions in chinese.repetition_both": "repetition with prompt",
}
# Where an adapter's weights sit, for the drawing alone.
ADAPTED = {"LoRA": ("attention",), "IA3": ("attention", "mlp")}

# Learned Chinese against chat answers lost, and against the refusal margin kept.
plane = partial(
    figures.plane,
    looks=LOOKS,
    learned="chinese.nats",
    losses={
        "chat.nats": "lost: chat answers, change in nats a token",
        "margin harmful.gold_margin": "kept: refusal margin, change in nats",
    },
    skill="held-out Chinese",
)


def moving(base: Checkpoint) -> dict[str, dict[Part, str]]:
    """How each arm lets the embeddings, then attention and MLP of every block, move.

    A part "moves", has an adapter "beside" it, or is "held".
    """
    blocks = [Part(kind, i) for i in range(base.layers) for kind in ("attention", "mlp")]
    parts = [Part("embedding", None), *blocks]
    return {
        name: {part: _how(arm.tune or Full(), part, base.layers) for part in parts}
        for name, arm in trainings(base).items()
    }


def _how(tune: Tuning, part: Part, layers: int) -> str:
    if isinstance(tune, Adapter):
        return "beside" if part.kind in ADAPTED[type(tune).__name__] else "held"
    return "moves" if tune.trains(part, layers) else "held"


def anatomy(base: Checkpoint) -> Figure:
    """What each arm lets move: embeddings, then attention and MLP of every block, top down.

    Coloured parts move, grey ones stay; adapters (beside frozen weights) are drawn as a stripe.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
    layers, height = base.layers, 2 * base.layers + 4
    shown = trainings(base)
    for column, (name, parts) in enumerate(moving(base).items()):
        colour = LOOKS[shown[name].curve or name].colour
        bottom = 0.0
        for part, how in reversed(parts.items()):
            size = 4 if part.kind == "embedding" else 1
            face = colour if how == "moves" else "#E3E3E3"
            axis.bar(column, size, 0.72, bottom=bottom, color=face, linewidth=0)
            if how == "beside":
                axis.bar(column + 0.27, size, 0.18, bottom=bottom, color=colour, linewidth=0)
            bottom += size
        axis.annotate(name, (column, height + 1), rotation=35, fontsize=8, ha="left")
    axis.set_xlim(-0.6, len(shown) + 0.8)
    axis.set_ylim(0, 2 * layers + 18)
    axis.set_xticks([])
    axis.set_yticks([layers, 2 * layers + 2], ["blocks", "embeddings"], fontsize=8)
    axis.grid(False)
    sns.despine(ax=axis, left=True, bottom=True)
    return figure


def changes_table(runs: Sequence[Run], rate: float, published: Table | None = None) -> pd.DataFrame:
    """One row an arm at its central rate: change from the start ± half its 95 % interval.

    Columns of `published` stand on the right.
    """
    start = records.start_of(runs)
    groups = {}
    for name, arm in trainings(experiment.base(runs[0].tier)).items():
        own = float(f"{arm.rate * rate:g}")
        group = records.select(runs, method=arm.curve or name, learning_rate=own)
        if group:
            groups[name] = group
    return tables.changes_table(groups, tables.measured(COLUMNS, start), start, published)


def trainings(base: Checkpoint) -> dict[str, Training]:
    """The arms of a base that train."""
    return {name: arm for name, arm in arms(base).items() if isinstance(arm, Training)}
