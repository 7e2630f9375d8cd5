"""The schema of records: what a file has to say, and what cannot be so.

Beside its types a file is checked for what belongs together: a record's key and its lineage, a
task's number of items and its scores, an index's runs and their panels. Numbers are finite.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from forgetting.probes.scores import Sample, Scores

SCHEMA: Literal[2] = 2
Tier = Literal["smoke", "classroom", "laptop", "full", "paper"]
TIERS: tuple[Tier, ...] = ("smoke", "classroom", "laptop", "full", "paper")
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
NUMBER = (int, float)
MARKUP = "<>{}[]`$\\"


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}={value}: not a finite number")
    return values


def _harmless(value: Any) -> Any:
    """Texts that pages, tables and figures show as they are: no markup, no code, one line each."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _harmless(name)
            _harmless(inner)
    elif isinstance(value, str) and (bad := next((c for c in value if _is_markup(c)), None)):
        raise ValueError(f"{value!r}: {bad!r} may be markup; write it without")
    return value


def _is_markup(character: str) -> bool:
    return character in MARKUP or not (character.isprintable() or character == "\u00a0")


def _having(**kinds: Any) -> AfterValidator:
    """Of a dictionary: that these fields are there, each of its type."""

    def check(values: dict[str, Any]) -> dict[str, Any]:
        for name, kind in kinds.items():
            if not isinstance(values.get(name), kind) or isinstance(values[name], bool):
                expected = "a text" if kind is str else "a number"
                raise ValueError(f"{name}={values.get(name)!r}: expected {expected}")
        return values

    return AfterValidator(check)


def _dated(timing: dict[str, Any]) -> dict[str, Any]:
    datetime.fromisoformat(timing["date"])
    if timing["seconds"] < 0:
        raise ValueError(f"seconds={timing['seconds']}: below 0")
    return timing


Key = Annotated[str, Field(pattern="^[0-9a-f]{20}$")]
Plain = Annotated[dict[str, Any], AfterValidator(_finite), AfterValidator(_harmless)]


class Session(BaseModel):
    """What was asked of a System in one go: scores by probe key, answers, where and when.

    `timing` has `date`, `seconds` and `peak_memory_mib` of the measurement.
    """

    model_config = STRICT

    scores: dict[str, Scores]
    samples: list[Sample] = []
    environment: Annotated[dict[str, str], AfterValidator(_harmless)]
    timing: Annotated[Plain, _having(date=str, seconds=NUMBER), AfterValidator(_dated)]

    @model_validator(mode="after")
    def _answers_of_its_tasks(self) -> Self:
        tasks = {scores.task for scores in self.scores.values()}
        for sample in self.samples:
            if sample.task not in tasks:
                raise ValueError(f"samples: {sample.task!r} has no scores")
        return self

    def answers(self, probe: str) -> list[Sample]:
        """What was answered to a probe, as far as it was kept."""
        return [sample for sample in self.samples if sample.task == self.scores[probe].task]


class Record(BaseModel):
    """One System: its recipe down to the foundation, and every session of questions.

    `computing` has the `seconds` and `peak_memory_mib` of its last step. Everything but timings is
    the same, byte for byte, whenever it is repeated on the same machine and versions. A System that
    `diverged` has weights that are no numbers: it has no scores, and losses up to there.
    """

    model_config = STRICT

    schema_version: Literal[2] = SCHEMA
    key: Key
    model: Annotated[Plain, _having(name=str, digest=str, layers=int, parameters=int)]
    lineage: dict[str, dict[str, Any]]
    trainable: int = Field(ge=0)
    losses: list[float]
    diverged: bool = Field(default=False, exclude_if=lambda diverged: not diverged)
    # What became of a recipe's examples; a task's own say nothing.
    shown: dict[str, Any] = Field(default={}, exclude_if=lambda shown: not shown)
    computing: Plain = Field(default={}, exclude_if=lambda computing: not computing)
    sessions: list[Session] = Field(min_length=1)

    @model_validator(mode="after")
    def _of_its_own_recipe(self) -> Self:
        last = next(reversed(self.lineage), None)
        if last != self.key:
            raise ValueError(f"lineage: ends with {last}, and the key is {self.key}")
        for key, recipe in self.lineage.items():
            if not isinstance(recipe.get("step"), str):
                raise ValueError(f"lineage.{key}: step: missing")
        return self

    def place(self, probe: str, own: Collection[int] = (), *, answers: bool = False) -> int | None:
        """The number of the first session with a probe's scores, or `answers`; one of `own` first.

        None where there is none.
        """
        places = [
            number
            for number, session in enumerate(self.sessions)
            if probe in session.scores and (not answers or session.answers(probe))
        ]
        return min(places, key=lambda number: (number not in own, number), default=None)


class Entry(BaseModel):
    """A run of an experiment in its index: labels, and where its scores are.

    `panel` names the roles and probes of the index's `panels`, `sessions` those of the record that
    have them. `start` marks the model from which every arm starts, `design` what runs share that
    may be compared: model, texts and settings beside the axes.
    """

    model_config = STRICT

    system: Key
    tier: Tier
    design: Annotated[str, AfterValidator(_harmless)]
    panel: str = ""
    sessions: list[Annotated[int, Field(ge=0)]]
    start: bool = Field(default=False, exclude_if=lambda start: not start)
    labels: Annotated[Plain, _having(method=str, learning_rate=NUMBER, seed=int)]

    @property
    def place(self) -> tuple[str, Tier, str]:
        """What it is an entry for: there is one for each System, tier and design."""
        return self.system, self.tier, self.design


class Index(BaseModel):
    """An experiment's runs, and for each panel the probe key that stands for a role."""

    model_config = STRICT

    schema_version: Literal[2] = SCHEMA
    experiment: Annotated[str, AfterValidator(_harmless)]
    panels: Annotated[dict[str, dict[str, str]], AfterValidator(_harmless)] = {}
    runs: list[Entry] = []

    @model_validator(mode="after")
    def _panels_that_are_there(self) -> Self:
        for run in self.runs:
            if run.panel not in self.panels:
                raise ValueError(f"panels: {run.panel!r} of run {run.system} is missing")
        return self
