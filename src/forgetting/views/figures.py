"""The house style: one colour a method, direct labels, error bars, alt text.

Figures keep a white ground, so that they read alike on light and dark pages and in print.
"""

from __future__ import annotations

import itertools
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from forgetting.evidence import claims, laws, records
from forgetting.evidence.courses import Course, in_one_order
from forgetting.evidence.records import Record
from forgetting.models.parts import Part
from forgetting.tuning import Tuning

# Okabe & Ito's colours, safe for colour-blind readers; pairs that differ little share a hue.
COLOURS = {
    "untouched": "#000000",
    "pre-train style": "#E69F00",
    "SFT style": "#D55E00",
    "RL style": "#0072B2",
    "full": "#000000",
    "freeze first third": "#0072B2",
    "freeze last third": "#56B4E9",
    "freeze attention": "#D55E00",
    "only MLP": "#E69F00",
    "only attention": "#CC79A7",
    "freeze MLP": "#8C4A76",
    "LoRA": "#009E73",
    "LoRA r 1": "#B7E4D6",
    "LoRA r 4": "#56C7A0",
    "LoRA r 16": "#009E73",
    "LoRA r 64": "#0072B2",
    "LoRA r 256": "#004C78",
    "DoRA r 16": "#CC79A7",
    "full + weight decay": "#D55E00",
    "full + dropout": "#E69F00",
    "(IA)³": "#7A7A00",
    "gold": "#000000",
    "gold (same questions)": "#777777",
    "gold (length of own)": "#999999",
    "gold (length of paraphrase)": "#BBBBBB",
    "own": "#009E73",
    "own or gold": "#56C7A0",
    "own in rounds": "#B7E4D6",
    "own refreshed": "#00573F",
    "paraphrase": "#56B4E9",
    "STM": "#D55E00",
    "random mask": "#E69F00",
    "low mask": "#8C4A76",
    "EAFT": "#CC79A7",
    "KL on free text": "#0072B2",
    "KL on answers": "#004C78",
    "shuffled": "#7A7A00",
    "multitask": "#7A7A7A",
    "fine-tune": "#000000",
    "LAMOL": "#0072B2",
    "LAMOL 0.05": "#56B4E9",
    "LAMOL task tokens": "#004C78",
    "LAMOL task tokens 0.05": "#8FB8D6",
    "LAMOL KL": "#5E4FA2",
    "LAMOL greedy dreams": "#A6761D",
    "real": "#009E73",
    "replay 1 %": "#B7E4D6",
    "replay 5 %": "#56C7A0",
    "replay 10 %": "#2FB58A",
    "replay 20 %": "#006B4F",
    "EWC": "#D55E00",
    "EWC ×1000": "#F0A36B",
    "MAS": "#E69F00",
    "GEM": "#8C4A76",
    "SSR": "#7A7A00",
    "free text": "#E3A5C7",
    "free text KL": "#CC79A7",
    "empty turn": "#C9C27A",
    "empty turn KL": "#A89A00",
}
MARKERS = {
    "untouched": "*",
    "pre-train style": "^",
    "SFT style": "o",
    "RL style": "s",
    "full": "o",
    "freeze first third": "^",
    "freeze last third": "v",
    "freeze attention": "D",
    "only MLP": "d",
    "only attention": "P",
    "freeze MLP": "X",
    "LoRA": "s",
    "LoRA r 1": "<",
    "LoRA r 4": "s",
    "LoRA r 16": ">",
    "LoRA r 64": "D",
    "LoRA r 256": "p",
    "DoRA r 16": "P",
    "full + weight decay": "v",
    "full + dropout": "^",
    "(IA)³": "h",
    "gold": "o",
    "gold (same questions)": "o",
    "gold (length of own)": "<",
    "gold (length of paraphrase)": ">",
    "own": "s",
    "own or gold": "D",
    "own in rounds": "<",
    "own refreshed": ">",
    "paraphrase": "^",
    "STM": "v",
    "random mask": "d",
    "low mask": "P",
    "EAFT": "X",
    "KL on free text": "p",
    "KL on answers": "h",
    "shuffled": "*",
}
PAGE_WIDTH = 7.6  # inches
OF_RECORDS = "of records"  # marks a figure that was made from records
Z95 = 1.96  # standard errors on either side of a mean in its 95 % interval


def style() -> None:
    """Set the house style for every figure after it."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.85)
    plt.rcParams |= {
        "figure.dpi": 110,
        "savefig.dpi": 150,
        "figure.facecolor": "white",
        "axes.edgecolor": "#888888",
        "grid.color": "#E5E5E5",
        "svg.hashsalt": "forgetting",
        "axes.titlesize": "medium",
        "axes.titleweight": "bold",
    }


def show(figure: Figure, alt: str) -> None:
    """Display a figure in a notebook with its alternative text, and close it.

    The picture is made here, so that it does not depend on which backend the kernel has set up.
    """
    from IPython.display import display

    picture = BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
    data = {"image/png": b64encode(picture.getvalue()).decode(), "text/plain": alt}
    about = {"alt": alt} | ({"records": True} if figure.get_gid() == OF_RECORDS else {})
    display(data, raw=True, metadata={"image/png": about})
    plt.close(figure)


def _sign(figure: Figure, stored: Sequence[Record]) -> None:
    """Say above a figure which records it was made from; its page will link to them."""
    figure.suptitle(provenance(stored), fontsize=8, color="#555555", x=0.01, ha="left")
    figure.set_gid(OF_RECORDS)


def provenance(stored: Sequence[Record]) -> str:
    """What every figure says of its records: tier, model, seeds, last date."""
    about = claims.summary(stored)
    seeds = f"{about['seeds']} seed{'s' * (about['seeds'] != 1)} at the central rate"
    return f"{about['tier']} tier · {about['model']} · {seeds} · {about['last']}"


def anatomy(rows: Mapping[str, Tuning], layers: int) -> Figure:
    """What each row lets move: embeddings, then attention and MLP of every block, top down.

    Coloured parts move, grey ones stay; adapters (beside frozen weights) are drawn as a stripe.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
    kinds = ("attention", "mlp")
    parts = [Part("embedding", None), *(Part(kind, i) for i in range(layers) for kind in kinds)]
    for column, (name, tune) in enumerate(rows.items()):
        colour = COLOURS.get(name.split(" ×")[0], "#555555")
        height = 2 * layers + 4
        bottom = 0.0
        for part in reversed(parts):
            size = 4 if part.kind == "embedding" else 1
            adapter = tune.adapter is not None
            moves = not adapter and tune.trains(part, layers)
            face = colour if moves else "#E3E3E3"
            axis.bar(column, size, 0.72, bottom=bottom, color=face, linewidth=0)
            if adapter and part.kind in ADAPTED[type(tune).__name__]:
                axis.bar(column + 0.27, size, 0.18, bottom=bottom, color=colour, linewidth=0)
            bottom += size
        axis.annotate(name, (column, height + 1), rotation=35, fontsize=8, ha="left")
    axis.set_xlim(-0.6, len(rows) + 0.8)
    axis.set_ylim(0, 2 * layers + 18)
    axis.set_xticks([])
    axis.set_yticks([layers, 2 * layers + 2], ["blocks", "embeddings"], fontsize=8)
    axis.grid(False)
    sns.despine(ax=axis, left=True, bottom=True)
    return figure


# Where an adapter's weights sit, for the drawing alone.
ADAPTED = {"LoRA": ("attention",), "IA3": ("attention", "mlp")}


def plane(
    stored: Sequence[Record],
    *,
    learned: str,
    losses: Mapping[tuple[str, ...] | str, str],
    untouched: Record,
    skill: str,
    share: bool = False,
) -> Figure:
    """The (learned, lost) plane: each method a curve over its learning rates.

    `learned` is a measure whose fall is learning, of what the axis calls `skill`; with `share` it
    is a share of items, whose rise is learning. `losses` maps measures (or several whose items are
    pooled) to axis labels, one panel each, drawn as differences from the untouched model. Bars are
    95 % intervals over items and seeds. Of runs measured after several epochs the last make the
    curve, the others are small dots. Raises `KeyError` for a measure that the records lack.
    """
    style()
    figure, axes = plt.subplots(
        1, len(losses), figsize=(PAGE_WIDTH, 4.4), squeeze=False, layout="constrained"
    )
    for axis, (measure, label) in zip(axes[0], losses.items(), strict=True):
        for method in methods(stored):
            of_method = records.select(stored, method=method)
            _curve(axis, of_method, learned, measure, untouched, sign=1 if share else -1)
        axis.axhline(0, color="#888888", linewidth=0.8)
        axis.plot(0, 0, "*", color="black", markersize=11, zorder=5)
        axis.annotate("untouched", (0, 0), (5, 5), textcoords="offset points", fontsize=8)
        axis.set_xlabel(f"learned: {skill}, {'share of items' if share else 'nats a token'}")
        axis.set_ylabel(label)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    _sign(figure, stored)
    return figure


def before_and_after(
    groups: Mapping[str, Sequence[Record]], untouched: Record, measures: Mapping[str, str]
) -> Figure:
    """What share of each skill's items the model got right before and after, each method a mark.

    `groups` holds each method's runs, `measures` maps shares to the skills' names, drawn from the
    top down. Marks are means over items and seeds; bars are the 95 % interval of the change.
    """
    style()
    height = 0.9 + 0.55 * len(measures)
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, height), layout="constrained")
    for place, measure in enumerate(measures):
        before = untouched.mean(measure)
        axis.axhspan(place - 0.4, place + 0.4, color="#F4F4F4", linewidth=0)
        axis.plot(before, place, "*", color="black", markersize=11, zorder=5)
        for shift, (method, group) in zip(
            np.linspace(-0.22, 0.22, len(groups)), groups.items(), strict=True
        ):
            effect = change(group, untouched, measure)
            axis.errorbar(
                before + effect.mean,
                place + shift,
                xerr=np.abs([[effect.mean - effect.low], [effect.high - effect.mean]]),
                fmt=MARKERS.get(method, "o"),
                color=COLOURS.get(method, "#555555"),
                markersize=6,
                elinewidth=0.8,
                label=method if not place else None,
            )
    axis.set_yticks(range(len(measures)), list(measures.values()))
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("share of items (★ before)")
    columns = min(4, len(groups))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    _sign(figure, [untouched, *(record for group in groups.values() for record in group)])
    return figure


def methods(stored: Sequence[Record]) -> list[str]:
    """The methods that were trained, in the palette's order."""
    present = {record.labels["method"] for record in stored} - {"untouched"}
    return [m for m in COLOURS if m in present] + sorted(present - COLOURS.keys())


def change(
    group: Sequence[Record], untouched: Record, measure: tuple[str, ...] | str
) -> claims.Effect:
    """group - untouched, mean and interval over items and seeds."""
    measures = [measure] if isinstance(measure, str) else list(measure)
    return claims.paired_effect(group, [untouched], measures)


def _curve(
    axis: Any,
    of_method: Sequence[Record],
    learned: str,
    lost: tuple[str, ...] | str,
    untouched: Record,
    sign: int,
) -> None:
    points: list[tuple[float, ...]] = []
    beside: list[tuple[float, ...]] = []
    last = max(record.labels.get("epochs", 0) for record in of_method)
    kinds = {(r.labels["learning_rate"], r.labels.get("epochs", 0)) for r in of_method}
    for rate, epochs in sorted(kinds):
        labels = {"learning_rate": rate} | ({"epochs": epochs} if epochs else {})
        group = records.select(of_method, **labels)
        gain, loss = change(group, untouched, learned), change(group, untouched, lost)
        point = (sign * gain.mean, loss.mean, loss.mean - loss.low, loss.high - loss.mean)
        (points if epochs == last else beside).append(point)
    x, y, below, above = np.array(points).T
    method = of_method[0].labels["method"]
    colour = COLOURS.get(method, "#555555")
    if beside:
        early = np.array(beside)
        axis.scatter(early[:, 0], early[:, 1], s=9, color=colour, alpha=0.5, linewidths=0)
    axis.errorbar(
        x,
        y,
        yerr=np.abs([below, above]),
        label=method,
        color=colour,
        marker=MARKERS.get(method, "o"),
        markersize=5,
        linewidth=1.3,
        elinewidth=0.7,
        alpha=0.9,
    )


def surprise(stored: Record, threshold: float) -> Figure:
    """How much each kind of target surprises the untouched model: nats of its tokens, in order.

    Each curve runs over the share of tokens that surprise less. The line is the logarithm of
    `threshold`, a perplexity; the words say what share of tokens lies above it.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.8), layout="constrained")
    for task, scores in stored.scores.items():
        kind = task.removeprefix("surprise:")
        nats = np.sort(scores.items["surprise"])
        above = float(np.mean(nats > np.log(threshold)))
        words = f"{kind}: perplexity {np.exp(nats.mean()):.2f}, {above:.0%} above {threshold:g}"
        colour = COLOURS.get(kind, "#555555")
        axis.plot(np.arange(1, len(nats) + 1) / len(nats), nats, label=words, color=colour)
    axis.axhline(np.log(threshold), color="#888888", linewidth=0.8, linestyle="--")
    axis.set_xlabel("share of the answers' tokens")
    axis.set_ylabel("nats under the untouched model")
    axis.legend(frameon=False, fontsize=8)
    figure.suptitle(provenance([stored]), fontsize=8, color="#555555", x=0.01, ha="left")
    return figure


def claim_intervals(found: Sequence[claims.Verdict]) -> Figure:
    """Every judged claim's effect with its interval, its tolerance shaded, in units of it."""
    style()
    judged = [v for v in found if v.effect is not None and v.tolerance > 0]
    colours = {"holds": "#009E73", "contradicted": "#D55E00", "undecided": "#777777"}
    figure, axis = plt.subplots(
        figsize=(PAGE_WIDTH, 0.34 * len(judged) + 1.2), layout="constrained"
    )
    axis.axvspan(-1, 1, color="#EEEEEE", zorder=0)
    reach = 8.0
    for row, verdict in enumerate(reversed(judged)):
        scale = verdict.tolerance
        numbers = np.array([verdict.effect, verdict.low, verdict.high], dtype=float)
        mean, low, high = np.clip(numbers / scale, -reach, reach)
        axis.plot([low, high], [row, row], color=colours[verdict.verdict], linewidth=2)
        axis.plot(mean, row, "o", color=colours[verdict.verdict], markersize=6)
        axis.annotate(
            verdict.verdict, (reach * 1.05, row), fontsize=8, va="center", annotation_clip=False
        )
    axis.set_yticks(range(len(judged)), [v.id for v in reversed(judged)], fontsize=8)
    axis.set_xlim(-reach, reach)
    axis.set_xlabel("effect in units of its tolerance (cut at ±8); shaded: too small to count")
    figure.set_gid(OF_RECORDS)
    return figure


def law(stored: Sequence[Record], *, x: str, y: str, labels: tuple[str, str]) -> Figure:
    """Every trained run as a point, and the least-squares line through all of them.

    `x` and `y` are measures, `labels` their axes' words. Raises `ValueError` for fewer than three
    different runs.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    trained = [record for record in stored if record.training]
    fitted = laws.line([r.mean(x) for r in trained], [r.mean(y) for r in trained])
    for method in methods(stored):
        group = records.select(trained, method=method)
        xs, ys = [r.mean(x) for r in group], [r.mean(y) for r in group]
        marker, colour = MARKERS.get(method, "o"), COLOURS.get(method, "#555555")
        axis.scatter(xs, ys, s=24, label=method, marker=marker, color=colour)
    ends = np.array([min(r.mean(x) for r in trained), max(r.mean(x) for r in trained)])
    axis.plot(ends, fitted.slope * ends + fitted.intercept, color="#888888", linewidth=1)
    words = f"y = {fitted.intercept:.2f} {fitted.slope:+.2f}·x, R² = {fitted.r2:.2f}"
    axis.set_title(words.replace("-", "−"))
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.legend(frameon=False, fontsize=8)
    _sign(figure, stored)
    return figure


def law_of_the_book(
    points: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str]
) -> Figure:
    """One least-squares line through the runs of several chapters, (x, y) each, on a log scale.

    The title has R² over all runs, the legend that of each chapter alone. Raises `ValueError` for
    fewer than three different runs.
    """
    style()
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    for colour, (chapter, found) in zip(PALETTE, points.items(), strict=False):
        xs, ys = zip(*found, strict=True)
        words = f"{chapter}, {len(found)} runs"
        if len(found) >= laws.FEWEST:
            words += f", R² = {laws.line(xs, ys).r2:.2f}"
        axis.scatter(xs, ys, s=22, color=colour, alpha=0.8, label=words)
    xs, ys = zip(*(point for found in points.values() for point in found), strict=True)
    fitted = laws.line(xs, ys)
    ends = np.geomspace(max(min(xs), 1e-4), max(xs), 100)
    axis.plot(ends, fitted.slope * ends + fitted.intercept, color="#888888", linewidth=1)
    axis.set_xscale("log")
    axis.set_title(f"one line through {len(xs)} runs: R² = {fitted.r2:.2f}")
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.legend(frameon=False, fontsize=8)
    figure.set_gid(OF_RECORDS)
    return figure


PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def spectra(stored: Sequence[Record], ranks: Mapping[str, int]) -> Figure:
    """How many singular values hold 90 % of ΔW's energy, by matrix: each method a row of boxes.

    A box spans the quartiles over transformer blocks and seeds. `ranks` are lines to compare with,
    by their words.
    """
    style()
    measured = [r for r in stored if r.training and "spectrum" in r.scores]
    parts = [n for n in measured[0].scores["spectrum"].items if n.startswith("rank_90 ")]
    names = [method for method in methods(stored) if records.select(measured, method=method)]
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.8), layout="constrained")
    for shift, method in enumerate(names):
        group = records.select(measured, method=method)
        values = [[v for r in group for v in r.scores["spectrum"].items[part]] for part in parts]
        where = np.arange(len(parts)) + (shift - (len(names) - 1) / 2) * 0.8 / len(names)
        colour = COLOURS.get(method, "#555555")
        axis.boxplot(
            values,
            positions=where,
            widths=0.6 / len(names),
            patch_artist=True,
            boxprops={"facecolor": colour, "edgecolor": colour},
            medianprops={"color": "white"},
            flierprops={"markersize": 2},
            manage_ticks=False,
            label=method,
        )
    for words, rank in ranks.items():
        axis.axhline(rank, color="#888888", linewidth=0.8, linestyle="--")
        axis.annotate(words, (len(parts) - 0.5, rank), fontsize=8, va="bottom", ha="right")
    axis.set_yscale("log")
    axis.set_xticks(range(len(parts)), [part.removeprefix("rank_90 ") for part in parts])
    axis.set_ylabel("singular values that hold 90 % of ΔW")
    axis.legend(frameon=False, fontsize=8, ncols=4)
    _sign(figure, stored)
    return figure


def courses(stored: Sequence[Course], *, every_order: bool = False) -> Figure:
    """Every task's score along the first order of learning, a line a method; a column a task.

    With `every_order` the methods that were run in several: a row a task, a column an order. The
    grey line marks where the task is learned. Lines are means over seeds with 95 % intervals over
    items; multitask, which has no order, is the dashed line.
    """
    style()
    found = [course for course in stored if len(course.records) > 2]
    orders = list(dict.fromkeys(course.tasks for course in found))
    tasks = orders[0]
    if every_order:
        several = {course.method for course in found if course.tasks != tasks}
        found = [course for course in found if course.method in several] or found
    orders = orders if every_order else orders[:1]
    upper = [course for course in stored if len(course.records) == 2]
    shape = (len(tasks), len(orders)) if every_order else (1, len(tasks))
    figure, axes = plt.subplots(
        *shape,
        figsize=(PAGE_WIDTH, 1.5 * shape[0] + (1.1 if every_order else 2.0)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    places = [(task, order) for task in tasks for order in orders]
    for axis, (task, order) in zip(axes.flat, places, strict=True):
        place = order.index(task)
        axis.axvline(place + 1, color="#CCCCCC", linewidth=3, zorder=0)
        for method in _course_methods(found):
            same = [c for c in found if c.method == method and c.tasks == order]
            if same:
                scores = np.mean([c.scores()[:, place] for c in same], axis=0)
                errors = np.array([c.errors()[:, place] for c in same])
                half = Z95 * np.sqrt((errors**2).sum(axis=0)) / len(same)
                axis.errorbar(range(len(scores)), scores, half, elinewidth=0.5, **_line(method))
        if upper:
            level = np.mean([c.scores()[-1, c.tasks.index(task)] for c in upper])
            axis.axhline(level, label=upper[0].method, color="#7A7A7A", linestyle="--")
        axis.set_xticks(range(len(order) + 1), ["\u2013", *order], fontsize=7)
        axis.set_ylim(-0.03, 1.03)
        if not every_order:
            axis.set_title(task)
    for row, task in zip(axes, tasks, strict=False):
        row[0].set_ylabel(task if every_order else "score")
    _course_legend(figure)
    _sign(figure, [record for course in stored for record in course.records])
    return figure


def spent(stored: Sequence[Course]) -> Figure:
    """The mean score at the end against how long the trainings of a sequence took.

    A point a method: the mean over seeds in one order, with their standard deviation where there
    are several. Times are of training alone, without what was drawn before it, in terms of
    fine-tuning from the same seed (of the first method where that was not run): the median, because
    runs may have shared their machine.
    """
    style()
    stored = in_one_order(stored)
    methods = _course_methods(stored)
    plain = "fine-tune" if "fine-tune" in methods else methods[0]
    took = {c.seed: c.training_seconds() for c in stored if c.method == plain}
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.2), layout="constrained")
    for method, marker in zip(methods, itertools.cycle("osD^v<>phPX")):
        same = [course for course in stored if course.method == method]
        finals = [course.final() for course in same]
        pairs = [(c.training_seconds(), took.get(c.seed, 0.0)) for c in same]
        times = [seconds / of_plain for seconds, of_plain in pairs if of_plain]
        spread = float(np.std(finals, ddof=1)) if len(finals) > 1 else 0.0
        look = _line(method) | {"marker": marker, "markersize": 6, "linestyle": "none"}
        if times:
            axis.errorbar(np.median(times), np.mean(finals), yerr=spread, **look)
    axis.set_xlabel(f"training time of the whole sequence, times that of {plain}")
    axis.set_ylabel("mean score at the end")
    _course_legend(figure)
    _sign(figure, [record for course in stored for record in course.records])
    return figure


def _course_legend(figure: Figure) -> None:
    """One legend below for all axes, every name once."""
    named: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend(
        named.values(), named, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )


def _course_methods(found: Sequence[Course]) -> list[str]:
    """The methods in the palette's order."""
    present = {course.method for course in found}
    return [m for m in COLOURS if m in present] + sorted(present - COLOURS.keys())


def _line(method: str) -> dict[str, Any]:
    colour = COLOURS.get(method, "#555555")
    return {"label": method, "color": colour, "marker": "o", "markersize": 3, "linewidth": 1.3}
