"""What became of sequences of tasks: each method's records in one order, read as scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetting.evidence import definitions, records
from forgetting.evidence.records import Record
from forgetting.experiments import panels


@dataclass(frozen=True)
class Course:
    """One method in one order from one seed: a record of the base and one after each task.

    Of multitask there are two: before, and after all tasks together. `tasks` are the names of the
    tasks in this order, `measures` what is asked of each.
    """

    method: str
    tasks: tuple[str, ...]
    measures: tuple[str, ...]
    seed: int
    records: tuple[Record, ...]

    @property
    def order(self) -> str:
        return ", ".join(self.tasks)

    def scores(self) -> np.ndarray:
        """(records, tasks): the score on every task before learning and after each step."""
        return np.array([[r.mean(measure) for measure in self.measures] for r in self.records])

    def errors(self) -> np.ndarray:
        """(records, tasks): the standard errors of `scores` over items."""
        return np.array([[r.stderr(measure) for measure in self.measures] for r in self.records])

    def final(self, *, drawn: bool = False) -> float:
        """The mean of the tasks' scores at the end, as LAMOL has it; answers greedy or drawn."""
        last, usual, other = self.records[-1], ":answered", f":top {panels.DRAWN_FROM}"
        asked = [m.replace(usual, other) if drawn else m for m in self.measures]
        return float(np.mean([last.mean(measure) for measure in asked]))

    def told_apart(self) -> list[float]:
        """At the end, for each task: how often its answer is likelier than another one."""
        last = self.records[-1]
        names = (measure.partition(":answered")[0] for measure in self.measures)
        return [last.mean(f"{name}:told apart.told_apart") for name in names]

    def training_seconds(self) -> float:
        """What all its trainings took, those included that it shares with other courses."""
        return float(sum(record.timing["training_seconds"] for record in self.records))

    def forgetting(self, single: Mapping[str, float]) -> dict[str, float]:
        """Every definition of `definitions`; `single` are scores of tasks that were learned alone.

        Intransigence is left out where one of these is missing. Raises `ValueError` for multitask,
        which has no sequence.
        """
        before, *after = self.scores()
        known = all(task in single for task in self.tasks)
        reference = [single.get(task, 0.0) for task in self.tasks]
        found = definitions.every_definition(np.array(after), before, reference)
        return {name: value for name, value in found.items() if known or name != "intransigence"}


def in_one_order(found: Sequence[Course]) -> list[Course]:
    """The courses that can be compared: those in the order that most methods went through."""
    methods: dict[tuple[str, ...], set[str]] = {}
    for course in found:
        methods.setdefault(course.tasks, set()).add(course.method)
    shared = max(methods, key=lambda tasks: len(methods[tasks]), default=())
    return [course for course in found if course.tasks == shared]


def comparable(like: Record, measures: Mapping[str, str]) -> list[Course]:
    """Stored courses through the tasks of `measures`, trained with the very settings of `like`.

    A checkpoint that methods share stands in one record, under the name of the first. So a course
    is found from its end, along the parents of the checkpoint.
    """
    alike = records.comparable(records.stored(like.chapter, like.tier), like)
    settings = like.training["settings"]  # comparable records may differ in the rate
    found = [r for r in alike if not r.training or r.training["settings"] == settings]
    after = {list(record.lineage)[-1]: record for record in found}
    courses = []
    for end in found:
        path = _path(end)
        tasks = tuple(end.labels.get("order", ", ".join(measures)).split(", "))
        ended = end.labels.get("learned") == f"{len(measures)} of {len(measures)}"
        if ended and set(tasks) == set(measures) and after.keys() >= set(path):
            asked = tuple(measures[task] for task in tasks)
            steps = tuple(after[step] for step in path)
            courses.append(Course(end.labels["method"], tasks, asked, end.seed, steps))
    return courses


def _path(record: Record) -> list[str]:
    """Keys of the record's checkpoint and those it was trained from, the base's first."""
    path = [list(record.lineage)[-1]]
    while parent := record.lineage[path[0]].get("parent"):
        path.insert(0, parent)
    return path


def told_of(record: Record) -> list[dict[str, Any]]:
    """What recipes reported of dreams in a record, one that was rehearsed within another too."""
    told = [record.shown, *(part for part in record.shown.values() if isinstance(part, dict))]
    return [one for one in told if "gallery" in one]


def single_scores(courses: Sequence[Course]) -> dict[str, float]:
    """Scores of tasks that were learned first, with nothing before them, as fine-tuning has it."""
    found: dict[str, list[float]] = {}
    for course in courses:
        if course.method == "fine-tune":
            found.setdefault(course.tasks[0], []).append(float(course.scores()[1, 0]))
    return {task: float(np.mean(scores)) for task, scores in found.items()}
