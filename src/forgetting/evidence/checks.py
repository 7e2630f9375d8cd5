"""Manipulation checks: was the treatment delivered, and could the measure have shown it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from forgetting.evidence import records
from forgetting.evidence.effects import OutOfRange, lone_effect, paired_effect
from forgetting.evidence.intervals import Effect
from forgetting.evidence.records import Run

SIDES = ("start", "left", "right")
SHOWN = "shown"  # the role of what a recipe reported of its examples


@dataclass(frozen=True)
class Check:
    """A condition that runs must surely meet before a claim on them is judged.

    `measure` ("role.metric", or "shown.…" for a number that the recipe reported) of one side, less
    that of `against` if given, must lie `above` or `below` a value with its whole interval, or
    `apart` from 0. A side is the "start", the claim's "left" or "right", or an arm. `asks` says
    what is asked, in words: "Was there anything to lose?"
    """

    asks: str
    measure: str
    of: str = "start"
    against: str = ""
    above: float | None = None
    below: float | None = None
    apart: float | None = None

    @property
    def of_recipe(self) -> bool:
        """Whether it is about what a recipe reported, and not about what was asked."""
        return self.measure.partition(".")[0] == SHOWN

    @property
    def of_claims(self) -> bool:
        """Whether it is about a side of a claim."""
        return bool({self.of, self.against} & {"left", "right"})

    @property
    def arms(self) -> set[str]:
        """The arms that it names."""
        return {self.of, self.against} - {*SIDES, ""}

    def failure(self, runs: Sequence[Run], sides: Mapping[str, Sequence[Run]] | None = None) -> str:
        """One line where the check fails; empty where it holds.

        `sides` are a claim's. Where nothing was measured, a check fails.
        """
        try:
            effect = self._effect(runs, sides or {})
        except (KeyError, OutOfRange):
            return f"{self.asks} {self.measure} was not measured"
        verb = f"is {effect.mean:.3g}"
        if self.against:
            verb = f"differs from {self.against} by {effect.mean:.3g}"
        line = f"{self.asks} {self.measure} {verb} [{effect.low:.3g}, {effect.high:.3g}]"
        if self.above is not None and effect.low <= self.above:
            return f"{line}, must be above {self.above:g}"
        if self.below is not None and effect.high >= self.below:
            return f"{line}, must be below {self.below:g}"
        if self.apart is not None and effect.low <= self.apart and effect.high >= -self.apart:
            return f"{line}, must be {self.apart:g} or more apart"
        return ""

    def _effect(self, runs: Sequence[Run], sides: Mapping[str, Sequence[Run]]) -> Effect:
        of = _side(self.of, runs, sides)
        against = _side(self.against, runs, sides) if self.against else []
        if not of or (self.against and not against):
            raise OutOfRange("no runs")
        if self.of_recipe:
            values = [
                fmean(_shown(run, self.measure) for run in side) for side in (of, against) if side
            ]
            value = values[0] - sum(values[1:])
            return Effect(mean=value, low=value, high=value, items=1, seeds=len(of))
        if against:
            return paired_effect(of, against, [self.measure])
        return lone_effect(of, [self.measure])


def _side(name: str, runs: Sequence[Run], sides: Mapping[str, Sequence[Run]]) -> Sequence[Run]:
    if name == "start":
        return [run for run in runs if run.start][:1]
    return sides[name] if name in SIDES else records.select(runs, method=name)


def _shown(run: Run, measure: str) -> float:
    """A number of what a recipe reported, by its path; what it does not count is 0."""
    path = measure.split(".")[1:]
    if not run.shown:
        raise KeyError(measure)
    value: Any = run.shown
    for name in path:
        value = value[name] if isinstance(value, dict) and name in value else 0
    return float(value)
