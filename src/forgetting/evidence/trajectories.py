"""Trajectories: what became of sequences of tasks, each arm's runs in one order read as scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetting.evidence import definitions
from forgetting.evidence.records import Run
from forgetting.probes import baselines
from forgetting.tasks import Task


@dataclass(frozen=True)
class Trajectory:
    """One arm in one order from one seed: a run of the start and one after each task.

    Of tasks learned at once there are two: before, and after all together. `tasks` are the roles of
    the tasks in this order, `names` the tasks behind them, `metrics` what each is judged by.
    """

    method: str
    tasks: tuple[str, ...]
    names: tuple[str, ...]
    metrics: tuple[str, ...]
    seed: int
    runs: tuple[Run, ...]

    @property
    def order(self) -> str:
        return ", ".join(self.tasks)

    def measures(self, question: str = "") -> list[str]:
        """What each task is judged by: in its own role, or as another `question` of it asks."""
        asked = f", {question}" if question else ""
        pairs = zip(self.tasks, self.metrics, strict=True)
        return [f"{task}{asked}.{metric}" for task, metric in pairs]

    def scores(self) -> np.ndarray:
        """(runs, tasks): the score on every task before learning and after each step."""
        return np.array([[run.mean(m) for m in self.measures()] for run in self.runs])

    def errors(self) -> np.ndarray:
        """(runs, tasks): the standard errors of `scores` over items."""
        return np.array([[run.stderr(m) for m in self.measures()] for run in self.runs])

    def final(self, question: str = "") -> float:
        """The mean of the tasks' scores at the end; as another `question` asks for them."""
        return float(np.mean([self.runs[-1].mean(m) for m in self.measures(question)]))

    def floors(self) -> list[dict[str, float]]:
        """What each task's score is without reading (`baselines.floors`)."""
        run, pairs = self.runs[-1], zip(self.tasks, self.metrics, strict=True)
        return [baselines.floors(run.scores_of(task), metric) for task, metric in pairs]

    def training_seconds(self) -> float:
        """What all its trainings took, those included that it shares with other trajectories."""
        return float(sum(run.timing["training_seconds"] for run in self.runs))

    def forgetting(self, single: Mapping[str, float]) -> dict[str, float]:
        """Every definition of `definitions`; `single` are scores of tasks that were learned alone.

        Intransigence is left out where one of these is missing. Raises `ValueError` for tasks
        learned at once, which have no sequence.
        """
        before, *after = self.scores()
        known = all(task in single for task in self.tasks)
        reference = [single.get(task, 0.0) for task in self.tasks]
        values = definitions.every_definition(np.array(after), before, reference)
        return {name: value for name, value in values.items() if known or name != "intransigence"}


def in_one_order(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Those that can be compared: in the order that most arms went through."""
    arms: dict[tuple[str, ...], set[str]] = {}
    for trajectory in trajectories:
        arms.setdefault(trajectory.tasks, set()).add(trajectory.method)
    shared = max(arms, key=lambda tasks: len(arms[tasks]), default=())
    return [trajectory for trajectory in trajectories if trajectory.tasks == shared]


def trajectories(
    runs: Sequence[Run], tasks: Mapping[str, Task], learning_rate: float | None = None
) -> list[Trajectory]:
    """The trajectories through `tasks` (by role) among an experiment's runs, at one rate.

    A checkpoint that arms share stands in one run, under the name of the first. So a trajectory is
    read from its end, along the parents of the checkpoint.
    """
    metrics = {role: task.config["metric_list"][0]["metric"] for role, task in tasks.items()}
    at_rate = [
        run for run in runs if run.start or learning_rate in (None, run.labels["learning_rate"])
    ]
    by_checkpoint = {list(run.lineage)[-1]: run for run in at_rate}
    complete = []
    for end in at_rate:
        path = _path(end)
        order = tuple(end.labels.get("order", ", ".join(tasks)).split(", "))
        ended = end.labels.get("learned") == f"{len(tasks)} of {len(tasks)}"
        if ended and set(order) == set(tasks) and by_checkpoint.keys() >= set(path):
            complete.append(
                Trajectory(
                    method=end.labels["method"],
                    tasks=order,
                    names=tuple(tasks[role].name for role in order),
                    metrics=tuple(metrics[role] for role in order),
                    seed=end.seed,
                    runs=tuple(by_checkpoint[step] for step in path),
                )
            )
    return complete


def _path(run: Run) -> list[str]:
    """Keys of the run's checkpoint and those it was trained from, the start's first."""
    path = [list(run.lineage)[-1]]
    while parent := run.lineage[path[0]].get("parent"):
        path.insert(0, parent)
    return path


def dream_reports(run: Run) -> list[dict[str, Any]]:
    """What recipes reported of dreams in a run, one that was rehearsed within another too."""
    reports = [run.shown, *(part for part in run.shown.values() if isinstance(part, dict))]
    return [report for report in reports if "gallery" in report]


def single_scores(trajectories: Sequence[Trajectory], method: str) -> dict[str, float]:
    """Scores of tasks that the arm `method` learned first, with nothing before them."""
    scores: dict[str, list[float]] = {}
    for trajectory in trajectories:
        if trajectory.method == method:
            scores.setdefault(trajectory.tasks[0], []).append(float(trajectory.scores()[1, 0]))
    return {task: float(np.mean(values)) for task, values in scores.items()}
