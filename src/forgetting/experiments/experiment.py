"""An experiment: a chapter's design as one value, and the runs that it asks for.

experiment = Experiment(
    name="trial",
    teaches=Ask("chinese", "zh_articles", "zh_everyday"),
    arms={"full": train(), "LoRA": train(tune=LoRA())},
    asks=(Ask("chinese", "zh_articles", "zh_everyday", 16, everywhere=True), …),
    budgets={"laptop": Budget("smollm2-135m", {"tokens": 5120}, rates=(1e-4, 3e-5))},
)
runs = experiment.run("laptop", seeds=[0, 1, 2])
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from forgetting import lineage
from forgetting.checking import BadValue
from forgetting.evidence import records
from forgetting.evidence.checks import Check
from forgetting.evidence.records import Run, Tier
from forgetting.experiments.arms import (
    Arm,
    At,
    AtOnce,
    InTurn,
    Made,
    Merged,
    Training,
    of_method,
)
from forgetting.experiments.asks import Ask, Data, Source, resolve
from forgetting.experiments.study import Cell, Question, answer
from forgetting.lineage import Checkpoint, Settings
from forgetting.method import UnknownMethod
from forgetting.probes.evaluation import Asked
from forgetting.store import hash_key
from forgetting.tasks import Task
from forgetting.wording import did_you_mean

START = "untouched"  # the label of the model from which every arm starts
AXES = ("learning_rate", "epochs", "seed")  # what runs of one design differ in: no settings
AMOUNTS = ("tokens", "examples", "length", "batch")  # 0 stands for the tier's own


class BadExperiment(ValueError):
    """An experiment, or what is asked of it, that makes no sense."""


@dataclass(frozen=True)
class Budget:
    """What a tier spends where nothing else is said.

    `rates` begin with the central one; `epochs` are those after which a run is measured (empty: the
    settings' own). `arms` empty: all. `orders` names the arms that are run through every order of
    the tasks; None: all of them. Raises `BadExperiment` for a setting that is an axis.
    """

    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    arms: tuple[str, ...] = ()
    rates: tuple[float, ...] = (1e-4,)
    epochs: tuple[int, ...] = ()
    tasks: int = 3
    orders: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        self.with_settings({})

    def with_settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, with those `given` in place of the tier's own; an amount of 0 says nothing.

        Raises `BadExperiment` for a setting that is an axis, is none, or has no such value.
        """
        own = {k: v for k, v in given.items() if v is not None and (v or k not in AMOUNTS)}
        settings = {**self.settings, **own}
        for name, value in settings.items():
            if name in AXES:
                axes = "learning_rates, epochs or seeds"
                raise BadExperiment(f"{name}={value!r}: give it as an axis: {axes}")
            if name not in Settings.model_fields:
                hint = _hint(name, Settings.model_fields)
                raise BadExperiment(f"{name}={value!r}: no such setting; {hint}")
        try:
            Settings(**settings)
        except BadValue as error:
            raise BadExperiment(str(error)) from error
        return settings


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
    """An experiment's axes, measures as "role.metric".

    `learned` is a measure whose fall is learning, of what `skill` names. `plain` is the arm that
    others are compared with where both learned the same, prose calls it `in_words`; `choice` says
    what the arms differ in.
    """

    learned: str
    skill: str
    losses: tuple[Loss, ...]
    plain: str
    in_words: str
    choice: str


@dataclass(frozen=True)
class Experiment:
    """A chapter's design: what is taught, by which arms, what is asked, what a tier may spend.

    `arms` are expressions of checkpoints by name, or a function that makes them for a base. With
    several tasks in `teaches` they are learned in turn, `orders` is an axis, and `asks` are asked
    of each. `axes` are an experiment's own, by name. `checks` are manipulation checks. `start`
    makes of the tier's model, for a tier and with what data are at hand, the one that arms start
    from; without it they start from the model as it is.
    """

    name: str
    teaches: Ask | tuple[Ask, ...]
    arms: Mapping[str, Arm] | Callable[[Checkpoint], Mapping[str, Arm]]
    asks: tuple[Ask, ...]
    budgets: Mapping[Tier, Budget]
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    plane: Plane | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    start: Callable[[Checkpoint, Tier, Data], Checkpoint] | None = None

    @property
    def in_turn(self) -> bool:
        """Whether several tasks are learned one after another."""
        return isinstance(self.teaches, tuple)

    def __post_init__(self) -> None:
        roles = [ask.role for ask in self.every_ask()]
        checks = self.checks.values()
        measures = [check.measure for check in checks if not check.of_recipe]
        if self.plane:
            measures += [self.plane.learned, *(loss.measure for loss in self.plane.losses)]
        for measure in measures:
            role = measure.rpartition(".")[0]
            if role not in roles:
                hint = _hint(role, roles)
                raise BadExperiment(f"measure={measure!r}: {self.name} asks no such role; {hint}")
        if not callable(self.arms):
            self._compare(self.arms)

    def _compare(self, arms: Mapping[str, Arm]) -> None:
        """Raise `BadExperiment` where a check or the plane is about none of these arms."""
        curves = [getattr(arm, "curve", "") or name for name, arm in arms.items()]
        names = {arm for check in self.checks.values() for arm in check.arms}
        for name in (*sorted(names), *([self.plane.plain] if self.plane else ())):
            if name not in curves:
                hint = _hint(name, curves)
                raise BadExperiment(f"arm={name!r}: {self.name} has no such arm; {hint}")

    def budget(self, tier: Tier) -> Budget:
        """What a tier may spend. Raises `BadExperiment` for a tier without a budget."""
        if tier not in self.budgets:
            known = ", ".join(self.budgets)
            raise BadExperiment(f"tier={tier!r}: {self.name} has budgets for {known}")
        return self.budgets[tier]

    def base(self, tier: Tier, model: str = "", data: Data = "public") -> Checkpoint:
        """The model from which every arm starts: made of the tier's, or of another."""
        base = lineage.foundation(model or self.budget(tier).model)
        return self.start(base, tier, data) if self.start else base

    def arms_of(self, base: Checkpoint) -> dict[str, Arm]:
        """All arms, for a base. Raises `BadExperiment` where a check or the plane is about none."""
        if not callable(self.arms):
            return dict(self.arms)
        arms = dict(self.arms(base))
        self._compare(arms)
        return arms

    def data(self, source: Source) -> Data:
        """Public data or stand-ins, by what is at hand."""
        asks = (*self.every_ask(), *self._taught())
        return resolve(source, (each.probe("public", "smoke") for each in asks))

    def every_ask(self, tasks: Sequence[str] = ()) -> tuple[Ask, ...]:
        """What is asked; where tasks are learned in turn, of each of them, question by question."""
        if not self.in_turn:
            return self.asks
        taught = self._named(tasks) if tasks else self._taught()
        return tuple(
            each.of(task.role, task.public, task.bundled) for each in self.asks for task in taught
        )

    def probes(
        self, tier: Tier, data: Data, tasks: Sequence[str] = (), *, everywhere: bool = False
    ) -> dict[str, Asked]:
        """The probes of a tier by role; `everywhere` leaves out those of central runs alone."""
        asks = self.every_ask(tasks)
        return {a.role: a.probe(data, tier) for a in asks if a.everywhere or not everywhere}

    def taught(self, tier: Tier, data: Data, tasks: Sequence[str] = ()) -> dict[str, Task]:
        """What is taught, by name, without a limit on items.

        Of a sequence: the `tasks` named, or as many of the experiment's first as the tier has.
        """
        if not tasks and self.in_turn:
            tasks = [each.role for each in self._taught()[: self.budget(tier).tasks]]
        chosen = self._named(tasks) if tasks else self._taught()
        return {each.role: each.task(data) for each in chosen}

    def design(
        self,
        tier: Tier,
        *,
        model: str = "",
        data: Data = "public",
        tasks: Sequence[str] = (),
        **settings: Any,
    ) -> str:
        """What runs share that may be compared: model, texts and settings beside the axes."""
        taught = self.taught(tier, data, tasks).values()
        return hash_key(
            {
                "model": self.base(tier, model, data).key,
                "taught": sorted((task.recipe() for task in taught), key=lambda r: r["task"]),
                "settings": self.budget(tier).with_settings(settings),
            }
        )[:12]

    def run(
        self,
        tier: Tier = "laptop",
        *,
        model: str = "",
        data: Source = "auto",
        methods: Sequence[str] = (),
        tasks: Sequence[str] = (),
        learning_rates: Sequence[float] = (),
        seeds: Sequence[int] = (0,),
        epochs: Sequence[int] = (),
        orders: Sequence[str] = (),
        say: Callable[[str], None] = print,
        where: str | None = None,
        **settings: Any,
    ) -> list[Run]:
        """Every arm at every place of the grid, measured; then stored runs of the same design.

        What is left out is the tier's own. `methods` names arms, `orders` those that go through
        every order of the `tasks`; `settings` are fields of `lineage.Settings`. Central runs (the
        first rate, the last epoch, the end of a sequence) answer everything, the others what is
        asked everywhere. Raises `BadExperiment` for an unknown arm or tier and for a setting that
        is an axis, `UnknownTask`, and what `study.answer` raises.
        """
        if not seeds:
            raise BadExperiment(f"seeds={seeds!r}: name at least one")
        budget, at_hand = self.budget(tier), self.data(data)
        taught = self.taught(tier, at_hand, tasks)
        design = self.design(tier, model=model, data=at_hand, tasks=tasks, **settings)
        cells, central = self.cells(
            self.base(tier, model, at_hand),
            taught,
            methods=methods or budget.arms,
            rates=tuple(learning_rates) or budget.rates,
            seeds=seeds,
            epochs=tuple(epochs) or budget.epochs,
            orders=tuple(orders) or budget.orders,
            **budget.with_settings(settings),
        )
        names = list(taught)
        keep = [ask.role for ask in self.every_ask(names) if ask.keep]
        questions = []
        for whole in (True, False):
            chosen = [cell for cell in cells if (cell.checkpoint in central) is whole]
            probes = self.probes(tier, at_hand, names, everywhere=not whole)
            question = Question(self.name, tier, chosen, probes, keep if whole else (), design)
            questions.append(question)
        answer(questions, say=say, where=where)
        return records.comparable(records.stored(self.name, tier), design)

    def stored(self, tier: Tier) -> list[Run]:
        """Stored runs of the tier's own design with public data; else of the last one measured."""
        runs = records.stored(self.name, tier)
        if not runs or tier not in self.budgets:
            return records.comparable(runs)
        own = records.comparable(runs, self.design(tier))
        return own if any(not run.start for run in own) else records.comparable(runs)

    def cells(
        self,
        base: Checkpoint,
        taught: Mapping[str, Task],
        *,
        methods: Sequence[str] = (),
        rates: Sequence[float],
        seeds: Sequence[int] = (0,),
        epochs: Sequence[int] = (),
        orders: Sequence[str] | None = (),
        **settings: Any,
    ) -> tuple[list[Cell], set[Checkpoint]]:
        """The base, then every arm at every place, rate by rate; and the central checkpoints.

        A recipe that two arms share stands once, under the first one's labels. Merges are of what
        their arms have learned after the last epoch.
        """
        known = self.arms_of(base)
        arms = self.chosen(known, methods)
        self.chosen(known, orders or ())
        start = Cell(base, {"method": START, "learning_rate": 0.0, "seed": 0}, start=True)
        cells, central = {base: start}, {base}
        counts: list[int | None] = [*sorted(epochs, reverse=True)] or [None]
        for rate, seed, *own in itertools.product(rates, seeds, *self.axes.values()):
            axes = dict(zip(self.axes, own, strict=True))
            for name, arm in arms.items():
                every = orders is None or name in orders
                of_arm = counts[:1] if isinstance(arm, Merged) else counts
                for count, order in itertools.product(of_arm, _orders(taught, arm, every)):
                    at = At(base, order, rate, seed, count, settings, axes)
                    for cell in (stages := _stages(name, arm, at)):
                        cells.setdefault(cell.checkpoint, cell)
                    if rate == rates[0] and count == counts[0]:
                        central.add(stages[-1].checkpoint)
        return list(cells.values()), central

    def failed(self, runs: Sequence[Run]) -> list[str]:
        """What manipulation checks on no claim's sides say of these runs, a line a failure."""
        lines = (check.failure(runs) for check in self.checks.values() if not check.of_claims)
        return [line for line in lines if line]

    def _taught(self) -> tuple[Ask, ...]:
        return self.teaches if isinstance(self.teaches, tuple) else (self.teaches,)

    def _named(self, tasks: Iterable[str]) -> list[Ask]:
        """Asks of the experiment's own tasks, or of any task by name."""
        known = {each.role: each for each in self._taught()}
        return [known.get(name) or Ask(name, Task(name).name) for name in tasks]

    def chosen(self, arms: Mapping[str, Arm], names: Sequence[str]) -> dict[str, Arm]:
        """The arms of these names, or all; a name may be any method's. Raises `BadExperiment`."""
        chosen = {}
        for name in names or arms:
            try:
                chosen[name] = arms.get(name) or of_method(name)
            except UnknownMethod as error:
                problem = f"{self.name} has no such arm, and no method is called so"
                raise BadExperiment(f"methods={name!r}: {problem}; {_hint(name, arms)}") from error
            except TypeError as error:
                problem = "has parameters without defaults; give it an arm of its own"
                raise BadExperiment(f"methods={name!r}: {problem} in {self.name}") from error
        return chosen


def _hint(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known, f"there are {', '.join(known)}")


def _orders(taught: Mapping[str, Task], arm: Arm, every: bool) -> list[dict[str, Task]]:
    """The orders in which an arm learns tasks, the given one first."""
    if not isinstance(arm, InTurn) or not every:
        return [dict(taught)]
    return [dict(order) for order in itertools.permutations(taught.items())]


def _stages(name: str, arm: Arm, at: At) -> list[Cell]:
    """The cells of an arm at a place: one, or one after each task of a sequence."""
    curve, rate = (
        (arm.curve, arm.learning_rate(at)) if isinstance(arm, Made | Training) else ("", at.rate)
    )
    labels = {"method": curve or name, "learning_rate": rate, "seed": at.seed, **at.axes}
    if at.epochs is not None:
        labels["epochs"] = at.epochs
    names, count = list(at.tasks), len(at.tasks)
    if isinstance(arm, AtOnce):
        labels["learned"] = f"{count} of {count}"
    if not isinstance(arm, InTurn):
        return [Cell(arm(at), labels)]
    cells = []
    for place, checkpoint in enumerate(arm.stages(at), 1):
        learned = {"order": ", ".join(names[:place]), "last": names[place - 1]}
        cells.append(Cell(checkpoint, labels | learned | {"learned": f"{place} of {count}"}))
    return cells
