"""Arms: what an experiment compares, each an expression of checkpoints.

An arm is called with a place of the grid and gives a checkpoint, as in

    arms = {
        "full": train(),
        "freeze first third": train(tune=FreezeFirst(10)),
        "LoRA, rate ×10": train(tune=LoRA(), rate=10),
        "half way back": merged(train(), how=0.5, card="weighted_sum"),
        "EWC": in_turn(elastic),
        "the chat vector": made(lambda at: chinese(at) + (chat(at) - at.base), card="ChatVector"),
    }

`in_turn` learns the place's tasks one after another and gives the checkpoint after each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import isclass, isfunction
from typing import Any, Literal, cast

from forgetting import method
from forgetting.adaptation import system
from forgetting.lineage import Checkpoint, MergeMethod, Recipe, merge
from forgetting.objectives import Objective
from forgetting.recipes import InForm, Together
from forgetting.tasks import Task
from forgetting.tuning import Tuning


@dataclass(frozen=True)
class At:
    """A place of an experiment's grid.

    `tasks` are what is taught, by name, in the place's order; `rate` is a learning rate before an
    arm's own factor. `epochs` None: the experiment does not vary them. `axes` are its other axes.
    """

    base: Checkpoint
    tasks: Mapping[str, Task] = field(hash=False)
    rate: float
    seed: int = 0
    epochs: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    axes: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def task(self) -> Task:
        """The task that is taught, the first of several."""
        return next(iter(self.tasks.values()))

    def given(self) -> dict[str, Any]:
        """The settings of this place beside the seed, with its rate and epochs."""
        epochs = {} if self.epochs is None else {"epochs": self.epochs}
        return {**self.settings, "learning_rate": self.rate, **epochs}


Arm = Callable[[At], Checkpoint]


@dataclass(frozen=True)
class Training:
    """An arm that trains on the experiment's task: `train(...)` makes it.

    `rate` is a factor on the learning rate, `settings` an arm's own. `shown` makes what is shown of
    the model whose words it may use and the task; without it, the task's own answers are. With
    `rounds`, each epoch is a training of its own: on what the first model said ("fixed"), or on
    what the model says by then ("refreshed"). One epoch of the arm `after` comes first. `curve`
    names the arm whose curve over rates it continues, `card` the method that it is about, where
    that is neither its objective nor its tuning.
    """

    tune: Tuning | None = None
    rate: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    shown: Callable[[Checkpoint, Task], Task | Recipe] | None = None
    objective: Objective | None = None
    rounds: Literal["", "fixed", "refreshed"] = ""
    after: Training | None = None
    curve: str = ""
    card: str = ""

    def __call__(self, at: At) -> Checkpoint:
        own = {"learning_rate": self.learning_rate(at), "seed": at.seed}
        return self.taught(at.base, at, {**at.settings, **self.settings, **own})

    def learning_rate(self, at: At) -> float:
        """The rate of a place times the arm's factor, to six digits."""
        return float(f"{self.rate * at.rate:g}")

    def taught(self, base: Checkpoint, at: At, settings: Mapping[str, Any]) -> Checkpoint:
        """`base` after this arm's training, with these settings."""
        epochs = at.epochs or 1
        if self.after:
            base = self.after.taught(base, replace(at, epochs=1), settings)
        options = {"tune": self.tune, "objective": self.objective, **settings}
        if not self.rounds:
            once = {} if at.epochs is None else {"epochs": epochs}
            return base.train(self.what(base, at.task), **options | once)
        model = base
        for _ in range(epochs):
            speaker = model if self.rounds == "refreshed" else base
            model = model.train(self.what(speaker, at.task), **options | {"epochs": 1})
        return model

    def what(self, of: Checkpoint, task: Task) -> Task | Recipe:
        """What is shown, where the model whose words may be used is `of`."""
        return self.shown(of, task) if self.shown else task


train = Training


@dataclass(frozen=True)
class Place:
    """Where a sequence of tasks stands: `tasks` so far with the next one last, and who learned.

    `learned` begins with the base, and has the checkpoint after each task but the next one.
    """

    tasks: tuple[Task, ...]
    learned: tuple[Checkpoint, ...]
    settings: Mapping[str, Any] = field(hash=False)
    seed: int

    @property
    def new(self) -> InForm:
        """The task to learn now."""
        return InForm(self.tasks[-1])

    @property
    def now(self) -> Checkpoint:
        """The model as the last task left it."""
        return self.learned[-1]


Answer = tuple[Recipe, Objective | None]


@dataclass(frozen=True)
class InTurn:
    """An arm that learns tasks one after another; `method` says what is shown next, and what for.

    The chain of checkpoints is the sequence; what begins alike is trained once, whichever arm or
    order asks. `card` names the arm's method.
    """

    method: Callable[[Place], Answer]
    card: str = ""

    def stages(self, at: At) -> list[Checkpoint]:
        """The checkpoint after each task, in the place's order."""
        tasks = list(at.tasks.values())
        settings = at.given()
        learned = [at.base]
        for count in range(1, len(tasks) + 1):
            place = Place(tuple(tasks[:count]), tuple(learned), settings, at.seed)
            shown, objective = self.method(place)
            learned.append(learned[-1].train(shown, objective=objective, seed=at.seed, **settings))
        return learned[1:]

    def __call__(self, at: At) -> Checkpoint:
        return self.stages(at)[-1]


in_turn = InTurn


@dataclass(frozen=True)
class AtOnce:
    """An arm that learns all tasks together, as many examples of each: a sequence's upper bound."""

    card: str = "Together"

    def __call__(self, at: At) -> Checkpoint:
        shown = Together(tuple(map(InForm, at.tasks.values())))
        return at.base.train(shown, seed=at.seed, **at.given())


at_once = AtOnce


@dataclass(frozen=True)
class Merged:
    """An arm that merges the place's base with what other arms made of it: `merged(...)` makes it.

    `how` is a share λ, for base + λ·(model - base) of one arm, a method of merging, or what makes
    one for a seed. `card` names the arm's method.
    """

    of: tuple[Arm, ...]
    how: float | MergeMethod | Callable[[int], MergeMethod]
    card: str = ""

    def __call__(self, at: At) -> Checkpoint:
        models = [arm(at) for arm in self.of]
        if isinstance(self.how, float):
            return at.base + self.how * (models[0] - at.base)
        made = isfunction(self.how) or isclass(self.how)
        how: Any = cast(Any, self.how)(at.seed) if made else self.how
        return merge(at.base, models, how)


def merged(*of: Arm, how: float | MergeMethod | Callable[[int], MergeMethod], card: str) -> Merged:
    """An arm that merges what `of` made."""
    return Merged(of, how, card)


@dataclass(frozen=True)
class Made:
    """An arm that is any expression of checkpoints: `made(...)` makes it.

    `how` gives the checkpoint at a place, other arms may stand in it; `card` names its method.
    `rate` and `curve` are as a training's.
    """

    how: Callable[[At], Checkpoint]
    card: str = ""
    rate: float = 1.0
    curve: str = ""

    def __call__(self, at: At) -> Checkpoint:
        return self.how(at if self.rate == 1 else replace(at, rate=self.learning_rate(at)))

    def learning_rate(self, at: At) -> float:
        """The rate of a place times the arm's factor, to six digits."""
        return float(f"{self.rate * at.rate:g}")


made = Made


def of_method(name: str) -> Arm:
    """An arm that uses a method as it is, with its own defaults; all else is as usual.

    A merge is of the base and of what full training makes of it. Raises `method.UnknownMethod`, and
    `TypeError` for a method that has parameters without a default.
    """
    entry = method.named(name)
    make = entry.load()
    if entry.package == "recipes":
        return train(shown=lambda of, task: make(task), card=name)
    value = make()
    if entry.package == "tuning":
        return train(value, card=name)
    if entry.package == "objectives":
        return train(objective=value, card=name)
    if entry.package == "adaptation":
        return lambda at: system(at.base, value)
    return lambda at: merge(at.base, [train()(at)], value)
