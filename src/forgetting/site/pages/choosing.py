"""Which method should I use? An engineer's page: a sentence a question, and the rates behind it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

from forgetting.evidence import claims
from forgetting.evidence.intervals import Effect
from forgetting.evidence.power import FEWEST_SEEDS
from forgetting.experiments.experiment import Loss, Plane
from forgetting.site import plane
from forgetting.site.markup import Contents, change, render
from forgetting.site.plane import Mark, Measured, Place

ENOUGH = 0.9  # of what the plain method learned at its central rate
SHARES = (1.0, 0.25, 0.05, 0.01, 0.001)  # of the weights: as many may be trained, at most


class AtRate(NamedTuple):
    """An arm at one of its rates."""

    place: Place
    mark: Mark


class Answer(NamedTuple):
    """What to take where `loss` must stay and at most one of `shares` of the weights may move.

    `best` lost least of what learned enough at three seeds; the intervals of `level` overlap its
    own. Without any, `nearest` learned most of what is small enough; None where nothing is.
    """

    loss: Loss
    shares: list[float]
    best: AtRate | None
    level: list[AtRate]
    nearest: AtRate | None


def page(planes: Mapping[str, Measured], contents: Contents) -> str:
    """The page; `planes` by chapter."""
    return render(
        "choosing.md.jinja",
        chapters=[_skill(name, runs) for name, runs in planes.items()],
        enough=ENOUGH,
        shares=SHARES,
        link=contents.link,
        loss_heads=plane.heads,
    )


def _skill(chapter: str, runs: Measured) -> dict[str, Any]:
    places = sorted(runs.places.values(), key=lambda place: place.trainable)
    rows = at_rates(places)
    return {
        "name": chapter,
        "axes": runs.axes,
        "rows": rows,
        "plain": _central(rows, runs.axes.plain),
        "answers": list(answers(rows, runs.axes)),
        "about": claims.summary(runs.runs),
        "sides": {loss: _sides(places, loss) for loss in runs.axes.losses},
        "rates": _rates(rows, runs),
    }


def at_rates(places: Iterable[Place]) -> list[AtRate]:
    """Every arm at each of its rates."""
    return [AtRate(place, mark) for place in places for mark in place.marks]


def answers(rows: Sequence[AtRate], axes: Plane) -> Iterator[Answer]:
    """An answer for each loss and each of `SHARES`; shares with the same answer stand together."""
    for loss in axes.losses:
        each = [_answer(rows, loss, share, _central(rows, axes.plain)) for share in SHARES]
        for _, same in groupby(each, key=lambda answer: answer[2:]):
            first, *others = same
            yield first._replace(shares=[answer.shares[0] for answer in (first, *others)])


def _answer(rows: Sequence[AtRate], loss: Loss, share: float, plain: AtRate | None) -> Answer:
    small = [row for row in rows if row.place.share <= share]
    least = ENOUGH * plain.mark.learned.mean if plain else 0.0
    enough = [
        row for row in small if row.mark.seeds >= FEWEST_SEEDS and row.mark.learned.mean >= least
    ]
    if not enough:
        nearest = max(small, key=lambda row: row.mark.learned.mean, default=None)
        return Answer(loss, [share], None, [], nearest)
    best = min(enough, key=lambda row: loss.worse * row.mark.lost[loss.words].mean)
    level = [row for row in enough if row != best and _overlap(row, best, loss)]
    return Answer(loss, [share], best, level, None)


def _overlap(one: AtRate, other: AtRate, loss: Loss) -> bool:
    a, b = one.mark.lost[loss.words], other.mark.lost[loss.words]
    return a.low <= b.high and b.low <= a.high


def _central(rows: Sequence[AtRate], arm: str) -> AtRate | None:
    of_arm = (row for row in rows if row.place.method == arm and not row.mark.step)
    return next(of_arm, None)


def _sides(places: Sequence[Place], loss: Loss) -> dict[str, list[str]]:
    """Methods that the intervals say are better or worse than the plain one, or level with it.

    With the first two stands by how much: "LoRA (−0.028 ± 0.025 nats a token)".
    """
    methods: dict[str, list[str]] = {"better": [], "worse": [], "level": []}
    for place in places:
        if effect := place.matched[loss.words]:
            which = side(effect, loss)
            size = f" ({change(effect)} {loss.unit})" if which != "level" else ""
            methods[which].append(place.method + size)
    return methods


def side(effect: Effect, loss: Loss) -> str:
    """On which side of nothing the whole interval lies: "better", "worse" or "level"."""
    low, high = sorted((loss.worse * effect.low, loss.worse * effect.high))
    return "better" if high < 0 else "worse" if low > 0 else "level"


def _rates(rows: Sequence[AtRate], runs: Measured) -> dict[str, Any] | None:
    """What the rate alone does to the plain method, and how far others lie from it in the median.

    `learned` and `lost` (the first loss) are its means, rate by rate; `apart` is None where nothing
    was matched. None where the plain method ran at one rate alone.
    """
    words = runs.axes.losses[0].words
    plain = [row for row in rows if row.place.method == runs.axes.plain]
    if len(plain) < 2:
        return None
    matched = [place.matched[words] for place in runs.places.values()]
    distances = [abs(effect.mean) for effect in matched if effect]
    return {
        "rates": [row.mark.rate for row in plain],
        "learned": [row.mark.learned.mean for row in plain],
        "lost": [row.mark.lost[words].mean for row in plain],
        "apart": median(distances) if distances else None,
    }
