"""What a figure draws, as a table: for readers who want its numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

COLUMNS = ("across", "up", "series", "x", "y", "x_low", "x_high", "y_low", "y_high")
Row = tuple[str, float, float, float, float, float, float]


def as_csv(figure: Figure) -> str:
    """Every drawn point, a row: its axes' words, its series, (x, y) and the ends of its bars.

    What stands at a named place (a skill, a task) has that name for its axis. "" where a figure
    draws no points.
    """
    rows = [
        (_words(axes, "x"), _words(axes, "y"), name, *(f"{value:.6g}" for value in values))
        for axes in figure.axes
        for name, *values in _points(axes)
    ]
    if not rows:
        return ""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def _words(axes: Axes, which: str) -> str:
    axis = axes.xaxis if which == "x" else axes.yaxis
    named = [
        tick.get_text()
        for tick in axis.get_ticklabels()
        if isinstance(axis.get_major_locator(), FixedLocator)
    ]
    return axis.get_label_text() or "; ".join(f"{n}: {name}" for n, name in enumerate(named))


def _points(axes: Axes) -> Iterator[Row]:
    """Of bars, of marks with their bars, of scattered marks, of lines, in this order."""
    drawn = set()
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            line, _, bars = container.lines
            drawn.add(line)
            yield from _marks(str(container.get_label()), line.get_data(), bars)
        elif isinstance(container, BarContainer):
            for patch in container:
                x, y = patch.get_x() + patch.get_width() / 2, patch.get_height()
                yield (str(container.get_label()), x, y, x, x, y, y)
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            for x, y in np.asarray(collection.get_offsets()):
                yield (_label(collection.get_label()), x, y, x, x, y, y)
    for line in axes.lines:
        if line not in drawn and line.get_transform() == axes.transData:  # a rule has no data
            for x, y in np.atleast_2d(line.get_xydata()).tolist():
                yield (_label(line.get_label()), x, y, x, x, y, y)


def _marks(name: str, data: tuple, bars: tuple[LineCollection, ...]) -> Iterator[Row]:
    segments = [[np.asarray(segment) for segment in bar.get_segments()] for bar in bars]
    for place, (x, y) in enumerate(zip(*data, strict=True)):
        ends = np.array([(x, y), *(point for bar in segments for point in bar[place])])
        (x_low, y_low), (x_high, y_high) = ends.min(axis=0), ends.max(axis=0)
        yield (_label(name), float(x), float(y), x_low, x_high, y_low, y_high)


def _label(name: object) -> str:
    return "" if str(name).startswith("_") else str(name)
