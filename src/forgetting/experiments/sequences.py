"""Sequences: tasks learned one after another, by every method, in several orders.

A method answers at each place of a sequence what is shown next and what it is asked for. The chain
of checkpoints is the sequence; what begins alike is trained once, whichever method or order asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from forgetting.evidence import claims, courses
from forgetting.evidence.courses import Course
from forgetting.evidence.records import Tier
from forgetting.experiments import panels, study
from forgetting.lineage import Checkpoint, Recipe
from forgetting.objectives import (
    EWC,
    GEM,
    MAS,
    CrossEntropy,
    KeepClose,
    Objective,
    Old,
    QuestionAndText,
    QuestionTextAndKept,
)
from forgetting.probes.evaluation import Asked
from forgetting.probes.measures import Answered
from forgetting.recipes import EMPTY_TURN, FreeText, InForm, Lamol, Rehearsed, Synthesised, Together
from forgetting.tasks import Task

MULTITASK = "multitask"
FISHER_EXAMPLES = 24  # of each old task: EWC's and MAS's importance
MEMORY_EXAMPLES = 4  # of each old task, at every step of GEM
DATA_FREE = 0.2  # free texts for an example, as γ


@dataclass(frozen=True)
class Place:
    """Where a sequence stands: `tasks` so far with the next one last, checkpoints that learned.

    `learned` begins with the base, and has the checkpoint after each task but the next one.
    """

    tasks: tuple[Task, ...]
    learned: tuple[Checkpoint, ...]
    settings: Mapping[str, Any]
    seed: int

    @property
    def new(self) -> InForm:
        """The task to learn now."""
        return InForm(self.tasks[-1])

    @property
    def now(self) -> Checkpoint:
        """The model as the last task left it."""
        return self.learned[-1]

    def old(self, examples: int) -> tuple[Old, ...]:
        """Some examples of each old task with the checkpoint that had just learned it."""
        most = min(examples, self.settings["examples"])
        return tuple(
            Old(InForm(task), checkpoint, most, self.settings["length"], self.seed)
            for task, checkpoint in zip(self.tasks[:-1], self.learned[1:], strict=True)
        )


Answer = tuple[Recipe, Objective]
Method = Callable[[Place], Answer]


def fine_tune(place: Place) -> Answer:
    """The new task's answers and nothing else."""
    return place.new, CrossEntropy()


def lamol(place: Place, **given: Any) -> Answer:
    """LAMOL, or with `real=True` its comparison with real examples; `given` are its fields."""
    old, by = place.tasks[:-1], None if given.get("real") else place.now
    return Lamol(place.tasks[-1], old, by if old else None, **given), QuestionAndText(0.25)


def lamol_kept(place: Place, weight: float) -> Answer:
    """LAMOL's dreams, with the last model's whole distribution at each of their tokens."""
    old, by = place.tasks[:-1], place.now
    if not old:
        return lamol(place)
    return Lamol(place.tasks[-1], old, by, kept=True), QuestionTextAndKept(0.25, weight)


def replay(place: Place, ratio: float) -> Answer:
    """Experience replay of real examples' answers."""
    old = tuple(InForm(task) for task in place.tasks[:-1])
    return Rehearsed(place.new, old, ratio) if old else place.new, CrossEntropy()


def elastic(place: Place, kind: type[EWC] | type[MAS], weight: float) -> Answer:
    """EWC or MAS."""
    old = place.old(FISHER_EXAMPLES)
    return place.new, kind(old, weight) if old else CrossEntropy()


def gem(place: Place) -> Answer:
    """Gradient episodic memory."""
    old = place.old(MEMORY_EXAMPLES)
    return place.new, GEM(old) if old else CrossEntropy()


def ssr(place: Place, ratio: float = 0.1) -> Answer:
    """Self-synthesised rehearsal: the sequence's first model asks, its last one answers."""
    base = place.learned[0]
    old = tuple(Synthesised(task, base, place.now) for task in place.tasks[:-1])
    return Rehearsed(place.new, old, ratio) if old else place.new, CrossEntropy()


def data_free(place: Place, opening: str = "", weight: float = 0.0) -> Answer:
    """What the last model writes by itself: learned like the rest, or kept close to (`weight`)."""
    if len(place.tasks) == 1:
        return fine_tune(place)
    shown = Rehearsed(place.new, (FreeText(place.now, opening),), DATA_FREE)
    return shown, KeepClose(weight) if weight else CrossEntropy()


METHODS: dict[str, Method] = {
    "fine-tune": fine_tune,
    "LAMOL": lamol,
    "LAMOL 0.05": partial(lamol, gamma=0.05),
    "LAMOL task tokens": partial(lamol, tokens="task"),
    "LAMOL task tokens 0.05": partial(lamol, tokens="task", gamma=0.05),
    "LAMOL KL": partial(lamol_kept, weight=1.0),
    "LAMOL greedy dreams": partial(lamol, top_k=1),
    "real": partial(lamol, real=True),
    "replay 1 %": partial(replay, ratio=0.01),
    "replay 5 %": partial(replay, ratio=0.05),
    "replay 10 %": partial(replay, ratio=0.1),
    "replay 20 %": partial(replay, ratio=0.2),
    "EWC": partial(elastic, kind=EWC, weight=1.0),
    "EWC ×1000": partial(elastic, kind=EWC, weight=1000.0),
    "MAS": partial(elastic, kind=MAS, weight=1.0),
    "GEM": gem,
    "SSR": ssr,
    "free text": data_free,
    "free text KL": partial(data_free, weight=1.0),
    "empty turn": partial(data_free, opening=EMPTY_TURN),
    "empty turn KL": partial(data_free, opening=EMPTY_TURN, weight=1.0),
}

# Methods that a tier runs in every order of the tasks; where it is not named, all of them.
EVERYWHERE: dict[Tier, tuple[str, ...]] = {"smoke": ("fine-tune",), "classroom": (), "laptop": ()}


def chain(
    base: Checkpoint, tasks: Sequence[Task], method: Method, seed: int, **settings: Any
) -> list[Checkpoint]:
    """The base, and the checkpoint after each task."""
    learned = [base]
    for count in range(1, len(tasks) + 1):
        place = Place(tuple(tasks[:count]), tuple(learned), settings, seed)
        shown, objective = method(place)
        learned.append(learned[-1].train(shown, objective=objective, seed=seed, **settings))
    return learned


def together(base: Checkpoint, tasks: Sequence[Task], seed: int, **settings: Any) -> Checkpoint:
    """All tasks at once, as many examples of each as a sequence has: the upper bound."""
    return base.train(Together(tuple(map(InForm, tasks))), seed=seed, **settings)


def orders(tasks: Mapping[str, Task]) -> list[dict[str, Task]]:
    """All orders of the tasks, the given one first."""
    return [dict(order) for order in itertools.permutations(tasks.items())]


def learn(
    chapter: str,
    base: Checkpoint,
    tasks: Mapping[str, Task],
    methods: Sequence[str],
    everywhere: Sequence[str] = (),
    *,
    seeds: Sequence[int],
    tier: Tier,
    where: str | None = None,
    **settings: Any,
) -> list[Course]:
    """Every method in the given order, those of `everywhere` in all orders, measured.

    Without `everywhere` these are the tier's own (`EVERYWHERE`).

    Each checkpoint answers the tasks in LAMOL's form; the last of a sequence also answers with
    tokens that are drawn, and tells right answers from others. Stored records are read, the others
    computed; stored courses that are comparable with these follow. Raises `KeyError` for an unknown
    method, and what `study.answer` raises.
    """
    whole, part = (panels.asked_of(chapter, tasks, tier, sweep=sweep) for sweep in (False, True))
    measures = _measures(tasks, part)
    planned = _planned(
        base, tasks, methods, everywhere or EVERYWHERE.get(tier, methods), seeds, settings
    )
    last = {base, *(one.runs[-1].checkpoint for one in planned)}
    unique = {run.checkpoint: run for one in reversed(planned) for run in reversed(one.runs)}
    first, second = (
        [run for checkpoint, run in unique.items() if (checkpoint in last) == ends]
        for ends in (True, False)
    )
    found = study.answer(
        [study.Question(chapter, tier, first, whole), study.Question(chapter, tier, second, part)],
        where=where,
    )
    answered = zip((*first, *second), itertools.chain(*found), strict=True)
    taken = {run.checkpoint: record for run, record in answered}
    asked = {
        (one.method, one.order, one.seed): Course(
            one.method,
            one.order,
            tuple(measures[task] for task in one.order),
            one.seed,
            tuple(taken[run.checkpoint] for run in one.runs),
        )
        for one in planned
    }
    like = next(iter(asked.values())).records[-1]
    alike = {(c.method, c.tasks, c.seed): c for c in courses.comparable(like, measures)}
    return [*asked.values(), *(alike[name] for name in alike if name not in asked)]


def published(chapter: str) -> list[Course]:
    """The stored courses through the chapter's own tasks, of its best published tier."""
    stored = claims.best_stored(chapter)
    if not stored:
        return []
    tasks = panels.sequence(chapter, "public", stored[-1].tier)
    part = panels.asked_of(chapter, tasks, stored[-1].tier, sweep=True)
    return courses.comparable(stored[-1], _measures(tasks, part))


def _measures(tasks: Mapping[str, Task], asked: Sequence[Asked]) -> dict[str, str]:
    """What each task of a sequence is judged by: the first metric of its answers."""
    answered = [one for one in asked if isinstance(one, Answered)]
    return {
        name: f"{of_task.name}.{task.config['metric_list'][0]['metric']}"
        for (name, task), of_task in zip(tasks.items(), answered, strict=True)
    }


class _Planned(NamedTuple):
    """A course to be measured: the base, and what each of its trainings left."""

    method: str
    order: tuple[str, ...]
    seed: int
    runs: list[study.Run]


def _planned(
    base: Checkpoint,
    tasks: Mapping[str, Task],
    methods: Sequence[str],
    everywhere: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
) -> list[_Planned]:
    every = orders(tasks)
    start = study.Run(base, {"method": "untouched", "learning_rate": 0.0, "seed": 0})
    planned = []
    for seed, method in itertools.product(seeds, methods):
        labels = {"method": method, "learning_rate": settings["learning_rate"], "seed": seed}
        if method == MULTITASK:
            taught = together(base, list(tasks.values()), seed, **settings)
            end = study.Run(taught, labels | {"learned": f"{len(tasks)} of {len(tasks)}"})
            planned.append(_Planned(method, tuple(tasks), seed, [start, end]))
            continue
        for order in every if method in everywhere else every[:1]:
            learned = chain(base, list(order.values()), METHODS[method], seed, **settings)
            runs = [start]
            for count, checkpoint in enumerate(learned[1:], 1):
                so_far = tuple(order)[:count]
                place = {"order": ", ".join(so_far), "last": so_far[-1]}
                place |= {"learned": f"{count} of {len(order)}"}
                runs.append(study.Run(checkpoint, labels | place))
            planned.append(_Planned(method, tuple(order), seed, runs))
    return planned
