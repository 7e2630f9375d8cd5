"""Manipulation checks: was the treatment delivered, and could the measure have shown it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from forgetting.evidence import records
from forgetting.evidence.records import Run


@dataclass(frozen=True)
class Check:
    """A condition that runs must meet before claims on them are judged, written with the design.

    The mean of `measure` ("role.metric") over the runs of `arm` (the start, where it is empty) must
    lie `above` or `below` a value; with `change`, the change from the start must. `asks` says what
    is asked, in words: "was there anything to lose?"
    """

    asks: str
    measure: str
    arm: str = ""
    above: float | None = None
    below: float | None = None
    change: bool = False

    def failure(self, runs: Sequence[Run]) -> str:
        """One line where the check fails; empty where it holds, or no run measured it."""
        role = self.measure.rpartition(".")[0]
        chosen = records.select(runs, method=self.arm) if self.arm else [r for r in runs if r.start]
        values = [run.mean(self.measure) for run in chosen if role in run.scores]
        if not values:
            return ""
        value, verb = fmean(values), "is"
        if self.change:
            value, verb = value - records.start_of(runs).mean(self.measure), "changed by"
        said = f"{self.asks} {self.measure} {verb} {value:.3g}"
        if self.above is not None and value <= self.above:
            return f"{said}, must be above {self.above:g}"
        if self.below is not None and value >= self.below:
            return f"{said}, must be below {self.below:g}"
        return ""
