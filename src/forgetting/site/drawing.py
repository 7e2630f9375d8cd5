"""The plane of learned against lost as a picture: SVG in the page's own ink, with a slider."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator

from forgetting import wording
from forgetting.experiments.experiment import Loss
from forgetting.site.markup import render
from forgetting.site.plane import Mark, Measured, Place
from forgetting.views.theme import Look

LINE = 15  # pixels from one label to the next
DECADES = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)  # marks of a drift's axis


class Sheet(NamedTuple):
    """Pixels of a picture, and where in it the axes begin and end."""

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


# A page shows the one that fits: words are as large on a phone as on a desk.
SHEETS = (Sheet("wide", 720, 372, 60, 704, 30, 322), Sheet("narrow", 340, 330, 44, 332, 30, 280))


class Axis(NamedTuple):
    """From values to pixels, and the values that are marked."""

    place: Callable[[float], float]
    marks: list[float]


class Dot(NamedTuple):
    """A mark in pixels; `label` is where its words begin, `end` whether they end there instead.

    `cut` says that it lies further to the left than the picture goes.
    """

    mark: Mark
    x: float
    y: float
    bars: tuple[float, float, float, float]
    label: tuple[float, float]
    end: bool
    cut: bool


def drawn(runs: Measured, mine: Collection[str] = ()) -> str:
    """A plane as SVG, once for a desk and once for a phone: learned to the right, lost upwards.

    `mine` are the arms in their own colour, with name and intervals; all of them, if empty. Others
    are grey dots at their central rate. What is drawn at other rates is shown by the slider alone.
    """
    named = [place for place in runs.places.values() if not mine or place.method in mine]
    others = [place for place in runs.places.values() if place not in named]
    return "".join(_on(sheet, runs, named, others) for sheet in SHEETS)


def steps(runs: Measured) -> dict[int, str]:
    """The steps of a plane's slider, and which rates each stands for."""
    found = sorted({mark.step for place in runs.places.values() for mark in place.marks})
    return {step: _rates(runs.places.values(), step) for step in found}


def slopes(lines: Mapping[str, tuple[float, float]], looks: Mapping[str, Look]) -> str:
    """Each arm a line from one value to another, named at its end; for a desk and for a phone."""
    values = [value for ends in lines.values() for value in ends]
    pictures = []
    for sheet in SHEETS:
        up = linear(sheet.bottom, sheet.top, min(values), max(values))
        arms = sorted(lines, key=lambda arm: -lines[arm][1])
        heights = spread([up.place(lines[arm][1]) + 4 for arm in arms], sheet.bottom)
        labels = dict(zip(arms, heights, strict=True))
        left, right = sheet.left + 40, sheet.right - 0.3 * sheet.width
        shown = {"lines": lines, "looks": looks, "up": up, "labels": labels, "inked": inked}
        pictures.append(
            render("slopes.svg.jinja", sheet=sheet, left=left, right=round(right), **shown)
        )
    return "".join(pictures)


def linear(start: float, end: float, low: float, high: float, most: int = 5) -> Axis:
    """An axis from pixel to pixel with room at either end of its values, and so many marks."""
    room = 0.06 * (high - low) or 1.0
    step = (end - start) / (high - low + 2 * room)
    ticks = [t for t in MaxNLocator(most).tick_values(low, high) if low - room <= t <= high + room]
    return Axis(lambda value: round(start + (value - (low - room)) * step, 1), ticks)


def _on(sheet: Sheet, runs: Measured, named: Sequence[Place], others: Sequence[Place]) -> str:
    loss = runs.axes.losses[0]
    shown = [mark for place in named for mark in place.marks]
    shown += [mark for place in others for mark in place.marks if not mark.step]
    across, up = _across(sheet, shown), _up(sheet, shown, loss)
    dots: dict[str, list[Dot]] = {place.method: [] for place in named}
    for step in sorted({mark.step for mark in shown}):
        at_step = [(p.method, mark) for p in named for mark in p.marks if mark.step == step]
        for method, dot in _labelled(sheet, at_step, across, up, loss):
            dots[method].append(dot)
    return render(
        "plane.svg.jinja",
        sheet=sheet,
        axes=runs.axes,
        loss=loss,
        across=across,
        up=up,
        dots=dots,
        named=named,
        others=others,
        looks=runs.looks,
        inked=inked,
    )


def _across(sheet: Sheet, marks: Sequence[Mark]) -> Axis:
    """The axis of what was learned. What unlearned more than others learned is cut off."""
    high = max(0.0, *(mark.learned.mean for mark in marks))
    low = max(min(0.0, *(mark.learned.mean for mark in marks)), -0.6 * high or -math.inf)
    return linear(sheet.left, sheet.right, low, high)


def _up(sheet: Sheet, marks: Sequence[Mark], loss: Loss) -> Axis:
    """The axis of what was lost: a drift by its root, which grows with the distance."""
    values = [0.0, *(mark.lost[loss.words].mean for mark in marks)]
    drift = loss.measure.endswith("_kl")
    low, high = (0.0 if drift else min(values)), max(values)

    def scaled(value: float) -> float:
        return math.sqrt(max(value, 0.0)) if drift else value

    room = 0.06 * (scaled(high) - scaled(low) or 1.0)
    start, end = scaled(low) - room, scaled(high) + room

    def place(value: float) -> float:
        share = (scaled(value) - start) / (end - start)
        return round(sheet.bottom - min(max(share, 0.0), 1.0) * (sheet.bottom - sheet.top), 1)

    ticks = DECADES if drift else MaxNLocator(5).tick_values(low, high)
    kept: list[float] = []
    for tick in ticks:
        inside = start <= scaled(tick) <= end
        if inside and (not kept or place(kept[-1]) - place(tick) > 22):
            kept.append(tick)
    return Axis(place, kept)


def _labelled(
    sheet: Sheet, marks: Sequence[tuple[str, Mark]], across: Axis, up: Axis, loss: Loss
) -> list[tuple[str, Dot]]:
    """The marks of one step as dots; no label lies on another."""
    dots = []
    for method, mark in marks:
        lost, x = mark.lost[loss.words], across.place(mark.learned.mean)
        y, kept = up.place(lost.mean), min(max(x, sheet.left), sheet.right)
        ends = (across.place(mark.learned.low), across.place(mark.learned.high))
        inside = [min(max(end, sheet.left), sheet.right) for end in ends]
        bars = (inside[0], inside[1], up.place(lost.low), up.place(lost.high))
        end = kept > (sheet.left + 2 * sheet.right) / 3
        beside = (kept - 10 if end else kept + 10, y + 4)
        dots.append((method, Dot(mark, kept, y, bars, beside, end, x < sheet.left)))
    for end in (False, True):
        side = sorted(
            (n for n, (_, dot) in enumerate(dots) if dot.end is end), key=lambda n: dots[n][1].y
        )
        heights = spread([dots[n][1].label[1] for n in side], sheet.bottom - 4)
        for n, height in zip(side, heights, strict=True):
            method, dot = dots[n]
            dots[n] = method, dot._replace(label=(dot.label[0], height))
    return dots


def spread(heights: Sequence[float], lowest: float) -> list[float]:
    """Rising heights moved down until `LINE` lies between them, then up from `lowest`."""
    apart: list[float] = []
    for height in heights:
        apart.append(max(height, apart[-1] + LINE) if apart else height)
    for n in range(len(apart) - 1, -1, -1):
        apart[n] = min(apart[n], lowest - LINE * (len(apart) - 1 - n))
    return apart


def inked(colour: str) -> str:
    """A colour that is seen on any ground: black is the page's own ink."""
    return "currentcolor" if max(to_rgb(colour)) < 0.2 else colour


def _rates(places: Iterable[Place], step: int) -> str:
    """What a step stands for: "1e-4 (full), 3e-4 (LoRA r 4, LoRA r 64)"."""
    arms: dict[float, list[str]] = {}
    for place in places:
        for mark in place.marks:
            if mark.step == step:
                arms.setdefault(mark.rate, []).append(place.method)
    if len(arms) == 1:
        return wording.rate(next(iter(arms)))
    words = {rate: ", ".join(of) if len(of) < 4 else f"{len(of)} arms" for rate, of in arms.items()}
    return ", ".join(f"{wording.rate(rate)} ({words[rate]})" for rate in sorted(arms))
