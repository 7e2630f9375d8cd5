"""Questions: cells of an experiment's grid, and what is asked of them by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forgetting import checking
from forgetting.checking import BadValue
from forgetting.evidence.records import Entry, Index, Record, Tier
from forgetting.lineage import Checkpoint
from forgetting.probes import evaluation
from forgetting.probes.evaluation import Asked
from forgetting.store import hash_key


@dataclass(frozen=True)
class Cell:
    """A place of an experiment's grid: a checkpoint to measure, and the labels of its run.

    `start` marks the model from which every arm starts.
    """

    checkpoint: Checkpoint
    labels: dict[str, Any] = field(hash=False)
    start: bool = False


@dataclass(frozen=True)
class Question:
    """Cells and what is asked of them, by role; of the roles in `keep` records keep the answers.

    `design` names what runs share that may be compared.
    """

    experiment: str
    tier: Tier
    cells: Sequence[Cell]
    asks: Mapping[str, Asked]
    keep: Sequence[str] = ()
    design: str = ""

    def __post_init__(self) -> None:
        """Raises `BadValue` for what could not be recorded after all is computed."""
        name = self.experiment
        if not name or Path(name).name != name or name.startswith("."):
            raise BadValue(f"experiment={name!r}: it names a file; write it without / or a first .")
        for role, probe in self.asks.items():
            checking.instance(role, probe, "test_recipe")
        for cell in self.cells:
            entry = {"tier": self.tier, "design": self.design, "labels": cell.labels}
            try:
                Entry(system="0" * 20, sessions=[], **entry)
                Index(experiment=name, panels={"": dict.fromkeys(self.asks, "")})
            except ValidationError as error:
                raise BadValue(checking.first_problem(error)) from None

    @cached_property
    def panel(self) -> dict[str, str]:
        """The probe key that stands for each role."""
        return {role: probe_key(probe) for role, probe in self.asks.items()}

    def lacking(self, record: Record | None) -> dict[str, Asked]:
        """What a record has no scores of, or no answers that are to be kept, by role."""
        if record is None:
            return dict(self.asks)
        return (
            {}
            if record.diverged
            else {
                role: self.asks[role]
                for role, key in self.panel.items()
                if record.place(key, answers=role in self.keep) is None
            }
        )


Records = Mapping[tuple[Tier, str], Record]  # what is stored of Systems, by tier and key


def probe_key(probe: Asked) -> str:
    """A probe's name in records: a hash over what its scores depend on, beside the model."""
    return hash_key({"on": probe.test_recipe(), "version": evaluation.EVALUATION_VERSION})
