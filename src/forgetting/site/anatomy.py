"""The anatomy of a model as a picture: what each arm lets move, what it learned and lost."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from forgetting.evidence import records
from forgetting.evidence.intervals import Effect
from forgetting.experiments.arms import At, Training
from forgetting.experiments.experiment import Experiment
from forgetting.models.parts import Part
from forgetting.site import drawing, plane
from forgetting.site.drawing import Axis
from forgetting.site.markup import render
from forgetting.site.plane import Mark, Measured
from forgetting.views.theme import Look

MARK = 38  # pixels that a number takes
LANES = ("attention", "mlp")  # of a block, from the top


class Line(NamedTuple):
    """One arm at one rate: how its parts move, and its mark on the plane."""

    arm: str
    look: Look
    trainable: int
    parts: Mapping[Part, str]
    mark: Mark


class Body(NamedTuple):
    """Pixels of a picture: a row's height, its first and last, and where its columns stand."""

    name: str
    width: int
    row: int
    top: int
    body: int  # the middle of the drawn model, below the row's top
    embedding: tuple[int, int]
    blocks: tuple[int, int]
    learned: tuple[int, int]
    lost: tuple[int, int]


# A page shows the one that fits; on a phone a name stands above its row.
BODIES = (
    Body("wide", 720, 26, 46, 13, (190, 206), (209, 364), (388, 540), (564, 712)),
    Body("narrow", 340, 42, 46, 28, (2, 14), (16, 116), (132, 226), (242, 336)),
)


class Stretch(NamedTuple):
    """Neighbouring blocks of a lane that move alike: "moves", "beside" (an adapter) or "held"."""

    lane: int
    first: int
    blocks: int
    how: str


def lines(
    design: Experiment, runs: Measured, moving: Mapping[str, Mapping[Part, str]]
) -> list[Line]:
    """The arms that were run at their own rates: those that they have where others take the first.

    `moving` says of each arm how each part moves.
    """
    start, tier = records.start_of(runs.runs), runs.runs[0].tier
    base = design.base(tier)
    at = At(base, {}, design.budget(tier).rates[0])
    found = []
    for name, arm in design.arms_of(base).items():
        if not isinstance(arm, Training) or name not in moving:
            continue
        curve, rate = arm.curve or name, arm.learning_rate(at)
        if group := records.select(runs.runs, method=curve, learning_rate=rate):
            seeds = len({run.seed for run in group})
            mark = Mark(0, rate, seeds, *plane.effects(runs.axes, start, group))
            found.append(Line(name, runs.looks[curve], group[0].trainable, moving[name], mark))
    return found


def drawn(runs: Measured, arms: Sequence[Line]) -> str:
    """The arms as rows of SVG, once for a desk and once for a phone."""
    return "".join(_on(sheet, runs, arms) for sheet in BODIES)


def stretches(parts: Mapping[Part, str]) -> list[Stretch]:
    """Each lane's blocks in stretches that move alike."""
    found = []
    for lane, kind in enumerate(LANES):
        hows = [how for part, how in parts.items() if part.kind == kind]
        first = 0
        for how, same in groupby(hows):
            found.append(Stretch(lane, first, blocks := len(list(same)), how))
            first += blocks
    return found


def _on(sheet: Body, runs: Measured, arms: Sequence[Line]) -> str:
    loss = runs.axes.losses[0]
    blocks = max(1 + (part.block or 0) for line in arms for part in line.parts)
    return render(
        "anatomy.svg.jinja",
        s=sheet,
        axes=runs.axes,
        loss=loss,
        arms=arms,
        bottom=sheet.top + sheet.row * len(arms),
        learned=_axis(sheet.learned, [line.mark.learned for line in arms]),
        lost=_axis(sheet.lost, [line.mark.lost[loss.words] for line in arms]),
        step=(sheet.blocks[1] - sheet.blocks[0]) / blocks,
        stretches=stretches,
        embedding=Part("embedding", None),
        inked=drawing.inked,
    )


def _axis(ends: tuple[int, int], effects: Sequence[Effect]) -> Axis:
    """An axis that holds all intervals, and 0; its marks stand `MARK` pixels apart, or more."""
    values = [0.0, *(value for e in effects for value in (e.low, e.mean, e.high))]
    return drawing.linear(*ends, min(values), max(values), most=(ends[1] - ends[0]) // MARK)
