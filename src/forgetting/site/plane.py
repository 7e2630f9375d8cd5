"""Where methods lie on a chapter's plane: what was learned, what was lost, and at what cost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence import records
from forgetting.evidence.effects import OutOfRange, matched_effect, paired_effect
from forgetting.evidence.intervals import Effect
from forgetting.evidence.power import FEWEST_SEEDS
from forgetting.evidence.records import Run
from forgetting.experiments.experiment import Loss, Plane
from forgetting.views import theme
from forgetting.views.theme import Look

ADAMW = 12  # bytes a trainable weight: a gradient and AdamW's two moments, all in float32


class Mark(NamedTuple):
    """An arm at one of its rates; `step` counts these from the central one, which is 0.

    Effects are changes from the model that it started from, of the plane's losses in their order.
    """

    step: int
    rate: float
    seeds: int
    learned: Effect
    lost: dict[str, Effect]


class Place(NamedTuple):
    """An arm at its rates, from the lowest to the highest: its `marks`.

    `matched` compares it, at the central rate, with the plain arm where both learned the same, over
    that one's rates and epochs; None where the plain arm never learned so much or so little, or
    where fewer than three seeds have a curve to be compared with.
    """

    method: str
    trainable: int
    share: float
    matched: dict[str, Effect | None]
    marks: tuple[Mark, ...]

    @property
    def central(self) -> Mark:
        return next(mark for mark in self.marks if not mark.step)

    @property
    def memory(self) -> float:
        """MiB of gradients and of AdamW's moments: what freezing saves."""
        return ADAMW * self.trainable / 2**20


class Measured(NamedTuple):
    """A chapter's plane, its runs with their start first, and where every arm lies."""

    axes: Plane
    runs: list[Run]
    places: dict[str, Place]
    looks: Mapping[str, Look] = {}


def measured(of: Sequence[str] = ()) -> dict[str, Measured]:
    """The chapters that have a plane and runs, `of` these names, or all.

    Runs are those of the best published tier after the last epoch. An arm's central rate is the one
    with the most seeds; of several, the one that learned most.
    """
    planes: dict[str, Measured] = {}
    for chapter in of or chapters.names():
        design = chapters.experiment(chapter)
        stored = published.runs(chapter) if design.plane else []
        last = max((run.labels.get("epochs", 0) for run in stored), default=0)
        runs = [run for run in stored if run.start or run.labels.get("epochs", 0) == last]
        if design.plane and any(run.start for run in runs):
            arms = dict.fromkeys(run.labels["method"] for run in runs if not run.start)
            places = {arm: _place(design.plane, runs, stored, arm) for arm in arms}
            planes[chapter] = Measured(design.plane, runs, places, theme.looks(design))
    return planes


def heads(axes: Plane, against: str = "") -> list[str]:
    """The head of a column for each loss: "chat answers against *full*, nats a token (up …)"."""
    other = f" against *{against}*" if against else ""
    return [f"{loss.words}{other}, {loss.unit} ({loss.sign})" for loss in axes.losses]


def _place(axes: Plane, runs: Sequence[Run], stored: Sequence[Run], arm: str) -> Place:
    """Where an arm lies after the last epoch; `stored` has the plain arm's other epochs too."""
    start = records.start_of(runs)
    plain = [start, *records.select(stored, method=axes.plain)] if arm != axes.plain else []
    of_arm = records.select(runs, method=arm)
    rates = sorted({run.labels["learning_rate"] for run in of_arm})
    by_rate = [records.select(of_arm, learning_rate=rate) for rate in rates]
    central = min(by_rate, key=lambda g: (-len(g), sum(run.mean(axes.learned) for run in g)))
    middle = by_rate.index(central)
    marks = tuple(
        Mark(place - middle, rate, len(group), *effects(axes, start, group))
        for place, (rate, group) in enumerate(zip(rates, by_rate, strict=True))
    )
    return Place(
        method=arm,
        trainable=central[0].trainable,
        share=central[0].trainable / central[0].model["parameters"],
        matched={loss.words: _matched(axes, central, plain, loss) for loss in axes.losses},
        marks=marks,
    )


def effects(axes: Plane, start: Run, group: Sequence[Run]) -> tuple[Effect, dict[str, Effect]]:
    """What a group of runs learned (above zero) and how each loss changed, from the `start`."""
    lost = {loss.words: paired_effect(group, [start], [loss.measure]) for loss in axes.losses}
    return paired_effect([start], group, [axes.learned]), lost


def _matched(axes: Plane, group: Sequence[Run], plain: Sequence[Run], loss: Loss) -> Effect | None:
    if not plain:
        return None
    try:
        effect = matched_effect(group, plain, [loss.measure], axes.learned, loss.worse)
    except OutOfRange:
        return None
    return effect if effect.seeds >= FEWEST_SEEDS else None
