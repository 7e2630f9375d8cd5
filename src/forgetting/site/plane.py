"""Where methods lie on a chapter's plane: what was learned, what was lost, and at what cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

from forgetting.evidence import claims, records
from forgetting.evidence.claims import Effect, OutOfRange
from forgetting.evidence.records import Record
from forgetting.experiments import panels
from forgetting.site.markup import render
from forgetting.views import figures

ADAMW = 12  # bytes a trainable weight: a gradient and AdamW's two moments, all in float32
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 260, 62, 448, 16, 216  # pixels of a drawn plane


class Loss(NamedTuple):
    """Something that may be lost: its measure, what it is called, and which sign is a loss."""

    measure: str
    words: str
    unit: str
    worse: int

    def head(self, against: str = "") -> str:
        """The head of its column: "chat answers against *full*, nats a token (up is worse)"."""
        other = f" against *{against}*" if against else ""
        return f"{self.words}{other}, {self.unit} ({'up' if self.worse > 0 else 'down'} is worse)"


class Plane(NamedTuple):
    """A chapter's axes. `learned` is a measure whose fall is learning, of what `skill` names.

    `plain` is the method that the others are compared with where both learned the same, prose calls
    it `in_words`; `choice` says what the chapter's methods differ in.
    """

    learned: str
    skill: str
    losses: tuple[Loss, ...]
    plain: str = "full"
    in_words: str = "training everything"
    choice: str = "what may move"

    def heads(self, against: str = "") -> list[str]:
        """The heads of a column for each loss."""
        return [loss.head(against) for loss in self.losses]


DRIFT = (
    Loss("old text.forward_kl", "drift on old text", "nats a token", +1),
    Loss("old answers.forward_kl", "drift on old answers", "nats a token", +1),
)


PLANES = {
    "freezing": Plane(
        learned="chinese.nats",
        skill="Chinese text",
        losses=(
            Loss("chat.nats", "chat answers", "nats a token", +1),
            Loss("margin harmful.gold_margin", "lead of refusing", "nats", -1),
        ),
    ),
    "lora": Plane("new answers.nats", "function calls", DRIFT),
    "own_words": Plane(
        "new answers.nats",
        "function calls",
        DRIFT,
        "gold",
        "training on the reference answers",
        "what to show",
    ),
    "operation": Plane(
        "new answers.nats", "labels of reviews", DRIFT, "SFT style", "SFT style", "the style"
    ),
}


class Place(NamedTuple):
    """A method at its central rate. Effects are changes from the untouched model.

    `matched` compares with the plain method where both learned the same; None where that method
    never learned so much or so little. It and `lost` have the chapter's losses in their order.
    """

    method: str
    rate: float
    seeds: int
    trainable: int
    share: float
    seconds: float
    learned: Effect
    lost: dict[str, Effect]
    matched: dict[str, Effect | None]

    @property
    def memory(self) -> float:
        """MiB of gradients and of AdamW's moments: what freezing saves."""
        return ADAMW * self.trainable / 2**20


class Measured(NamedTuple):
    """A chapter's runs on its plane: the records, the untouched model's first, and every method."""

    records: list[Record]
    places: dict[str, Place]

    @property
    def untouched(self) -> list[Record]:
        return records.select(self.records, method="untouched")


def measured() -> dict[str, Measured]:
    """The chapters that have a plane and records: the best published tier, after the last epoch.

    A method's central rate is the one with the most seeds; of several, the one that learned most.
    """
    stored = {chapter: _after_the_last_epoch(claims.best_stored(chapter)) for chapter in PLANES}
    return {
        chapter: Measured(of_chapter, _places(chapter, of_chapter))
        for chapter, of_chapter in stored.items()
        if records.select(of_chapter, method="untouched")
    }


def _after_the_last_epoch(stored: Sequence[Record]) -> list[Record]:
    last = max((record.labels.get("epochs", 0) for record in stored), default=0)
    return [r for r in stored if not r.training or r.labels.get("epochs", 0) == last]


def _places(chapter: str, stored: Sequence[Record]) -> dict[str, Place]:
    untouched = records.select(stored, method="untouched")
    curve = [*untouched, *records.select(stored, method=PLANES[chapter].plain)]
    names = dict.fromkeys(r.labels["method"] for r in stored if r.training)
    return {name: _place(chapter, records.select(stored, method=name), curve) for name in names}


def _place(chapter: str, of_method: Sequence[Record], curve: Sequence[Record]) -> Place:
    learned, losses = measures(chapter, curve[0])
    rates = {record.labels["learning_rate"] for record in of_method}
    groups = [records.select(of_method, learning_rate=rate) for rate in sorted(rates)]
    most = max(len(group) for group in groups)
    central = min(
        (group for group in groups if len(group) == most),
        key=lambda group: sum(record.mean(learned) for record in group),
    )
    method = of_method[0].labels["method"]
    beside = curve if method != PLANES[chapter].plain else ()
    gain, lost = effects(chapter, curve[:1], central)
    return Place(
        method=method,
        rate=central[0].labels["learning_rate"],
        seeds=len(central),
        trainable=central[0].trainable,
        share=central[0].trainable / central[0].model["parameters"],
        seconds=median(record.timing["training_seconds"] for record in central),
        learned=gain,
        lost=lost,
        matched={words: _matched(central, beside, m, learned) for words, m in losses.items()},
    )


def measures(chapter: str, untouched: Record) -> tuple[str, dict[str, str]]:
    """The full name of the measure of what is learned, and those of the losses, by their words."""
    name = partial(panels.measure_name, chapter, measured=untouched.scores)
    axes = PLANES[chapter]
    return name(axes.learned), {loss.words: name(loss.measure) for loss in axes.losses}


def effects(
    chapter: str, untouched: Sequence[Record], group: Sequence[Record]
) -> tuple[Effect, dict[str, Effect]]:
    """What a group of runs learned (above zero) and how each loss changed, from `untouched`."""
    learned, losses = measures(chapter, untouched[0])
    lost = {words: claims.paired_effect(group, untouched, [m]) for words, m in losses.items()}
    return claims.paired_effect(untouched, group, [learned]), lost


def _matched(
    central: Sequence[Record], curve: Sequence[Record], measure: str, learned: str
) -> Effect | None:
    try:
        return claims.matched_effect(central, curve, [measure], learned) if curve else None
    except OutOfRange:
        return None


class Scale:
    """Values to pixels, with 5 % of room at either end; `marks` are its two ends and zero."""

    def __init__(self, effects: Iterable[Effect], start: float, end: float) -> None:
        values = [0.0, *(value for effect in effects for value in (effect.low, effect.high))]
        low, high = min(values), max(values)
        room = 0.05 * (high - low) or 1.0
        self.base, self.start = low - room, start
        self.step = (end - start) / (high - low + 2 * room)
        self.marks = dict.fromkeys((low, 0.0, high))

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.base) * self.step, 1)


def drawn(places: Sequence[Place], mine: Collection[str], axes: Plane) -> str:
    """A plane as an SVG element: learned to the right, the first loss upwards, central rates.

    Every method is a grey dot; those in `mine` get their colour, their name and their intervals.
    """
    loss = axes.losses[0]
    return render(
        "plane.svg.jinja",
        named=[place for place in places if place.method in mine],
        others=[place for place in places if place.method not in mine],
        axes=axes,
        loss=loss,
        across=Scale((place.learned for place in places), LEFT, RIGHT),
        up=Scale((place.lost[loss.words] for place in places), BOTTOM, TOP),
        colours=figures.COLOURS,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
    )
