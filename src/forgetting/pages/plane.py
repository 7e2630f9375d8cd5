"""Where methods lie on a chapter's plane: what was learned, what was lost, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from forgetting.evidence import claims, records
from forgetting.evidence.claims import Effect, OutOfRange
from forgetting.evidence.records import Record
from forgetting.experiments import panels
from forgetting.wording import plus_minus

ADAMW = 12  # bytes a trainable weight: a gradient and AdamW's two moments, all in float32


class Loss(NamedTuple):
    """Something that may be lost: its measure, what it is called, and which sign is a loss."""

    measure: str
    words: str
    unit: str
    worse: int

    @property
    def sign(self) -> str:
        return "up is worse" if self.worse > 0 else "down is worse"


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
    never learned so much or so little.
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
    found = {chapter: _after_the_last_epoch(claims.best_stored(chapter)) for chapter in PLANES}
    return {
        chapter: Measured(stored, _places(chapter, stored))
        for chapter, stored in found.items()
        if records.select(stored, method="untouched")
    }


def _after_the_last_epoch(found: Sequence[Record]) -> list[Record]:
    last = max((record.labels.get("epochs", 0) for record in found), default=0)
    return [r for r in found if not r.training or r.labels.get("epochs", 0) == last]


def _places(chapter: str, found: Sequence[Record]) -> dict[str, Place]:
    curve = [
        *records.select(found, method="untouched"),
        *records.select(found, method=PLANES[chapter].plain),
    ]
    names = dict.fromkeys(r.labels["method"] for r in found if r.training)
    return {name: _place(chapter, records.select(found, method=name), curve) for name in names}


def _place(chapter: str, of_method: Sequence[Record], curve: Sequence[Record]) -> Place:
    untouched = curve[0]
    asked = set(untouched.scores)
    learned = panels.measure_name(chapter, PLANES[chapter].learned, asked)
    rates = {record.labels["learning_rate"] for record in of_method}
    groups = [records.select(of_method, learning_rate=rate) for rate in sorted(rates)]
    most = max(len(group) for group in groups)
    central = min(
        (group for group in groups if len(group) == most),
        key=lambda group: sum(record.mean(learned) for record in group),
    )
    names = _names(chapter, asked)
    gain, lost = effects(chapter, [untouched], central)
    return Place(
        method=of_method[0].labels["method"],
        rate=central[0].labels["learning_rate"],
        seeds=len(central),
        trainable=central[0].trainable,
        share=central[0].trainable / central[0].model["parameters"],
        seconds=median(record.timing["training_seconds"] for record in central),
        learned=gain,
        lost=lost,
        matched={w: _matched(chapter, central, curve, m, learned) for w, m in names.items()},
    )


def effects(
    chapter: str, untouched: Sequence[Record], group: Sequence[Record]
) -> tuple[Effect, dict[str, Effect]]:
    """What a group of runs learned (above zero) and how each loss changed, from `untouched`."""
    asked = set(untouched[0].scores)
    learned = panels.measure_name(chapter, PLANES[chapter].learned, asked)
    lost = {
        words: claims.paired_effect(group, untouched, [measure])
        for words, measure in _names(chapter, asked).items()
    }
    return claims.paired_effect(untouched, group, [learned]), lost


def _names(chapter: str, asked: set[str]) -> dict[str, str]:
    losses = PLANES[chapter].losses
    return {loss.words: panels.measure_name(chapter, loss.measure, asked) for loss in losses}


def _matched(
    chapter: str, central: Sequence[Record], curve: Sequence[Record], measure: str, learned: str
) -> Effect | None:
    if central[0].labels["method"] == PLANES[chapter].plain:
        return None
    try:
        return claims.matched_effect(central, curve, [measure], learned)
    except OutOfRange:
        return None


def change(found: Effect) -> str:
    """ "+0.034 ± 0.016" on one line: the mean and half the width of its 95 % interval."""
    return plus_minus(found.mean, (found.high - found.low) / 2)
