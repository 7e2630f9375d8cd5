"""A chapter's claims as rows: what is claimed, its verdict, its interval against the threshold."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from IPython.display import HTML

from forgetting.evidence.claims import Verdict
from forgetting.views.markup import shown

FIRST = 5  # rows that are not folded
MIDDLE, REACH = 60, 56  # of a drawn line, in its own units: where the threshold is, how far it goes


class Line(NamedTuple):
    """Where an effect lies on its drawn line, 0 to 120, and the same in words."""

    low: float
    effect: float
    high: float
    nothing: float
    words: str


def rows(verdicts: Sequence[Verdict]) -> HTML:
    """The verdicts with the headline claims first, and all but five folded.

    First come those that were written before their runs and are decided, then such that are open,
    then the rest, each in the order in which they are given.
    """
    return shown(
        "verdicts.html.jinja",
        verdicts=sorted(verdicts, key=_rank),
        first=FIRST,
        on_line=on_line,
        nats=any("nats a token" in verdict.unit for verdict in verdicts),
    )


def _rank(verdict: Verdict) -> int:
    if verdict.exploratory or verdict.verdict == "not tested":
        return 2
    return 0 if verdict.decided else 1


def on_line(verdict: Verdict) -> Line:
    """How far beyond its threshold an effect lies, to the right, whatever the claim's direction.

    The line reaches as far as the interval, or twice the tolerance where that is more; what lies
    farther (an endless interval) ends there. Raises `ValueError` without an effect.
    """
    if verdict.effect is None or verdict.low is None or verdict.high is None:
        raise ValueError(f"verdict {verdict.id!r}: has no effect to draw")
    effect = _beyond(verdict, verdict.effect)
    ends = [_beyond(verdict, verdict.low), _beyond(verdict, verdict.high)]
    if verdict.direction == "equal" and verdict.low < verdict.than < verdict.high:
        ends.append(verdict.tolerance)  # the best place lies inside the interval
    nothing = verdict.tolerance if verdict.direction == "equal" else -verdict.tolerance
    reach = max(abs(value) for value in (2 * nothing, effect, *ends) if math.isfinite(value)) or 1
    low, effect, high, nothing = (
        round(MIDDLE + REACH * max(-1.0, min(1.0, value / reach)), 1)
        for value in (min(ends), effect, max(ends), nothing)
    )
    return Line(low, effect, high, nothing, f"{verdict.verdict}: {_told(low, high)}")


def _beyond(verdict: Verdict, value: float) -> float:
    """How far beyond the threshold, as claimed, a value lies; below zero, how far short of it."""
    value -= verdict.than
    if verdict.direction == "equal":
        return verdict.tolerance - abs(value)
    return (-value if verdict.direction == "less" else value) - verdict.tolerance


def _told(low: float, high: float) -> str:
    if low > MIDDLE:
        return "the whole interval lies beyond the threshold"
    if high < MIDDLE:
        return "the whole interval lies short of the threshold"
    return "the interval contains the threshold"
