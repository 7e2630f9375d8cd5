"""What a chapter's parameters may name: the arms and tasks that its experiment knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forgetting import chapters, tasks
from forgetting.experiments.arms import Arm, InTurn
from forgetting.experiments.experiment import AMOUNTS, BadExperiment, Experiment
from forgetting.experiments.parameters import BadParameter
from forgetting.models import foundations, loading
from forgetting.wording import did_you_mean


def choices(chapter: str) -> dict[str, list[str]]:
    """The names of `methods` and, where tasks are learned in turn, `tasks` and `all_orders`."""
    if chapter not in chapters.names():
        return {}
    design = chapters.experiment(chapter)
    arms = _arms(design)
    if not isinstance(design.teaches, tuple):
        return {"methods": list(arms)}
    return {
        "methods": list(arms),
        "tasks": [task.role for task in design.teaches],
        "all_orders": [name for name, arm in arms.items() if isinstance(arm, InTurn)],
    }


def check(chapter: str, values: Mapping[str, Any]) -> None:
    """Raise `BadParameter` for what the experiment would refuse, with the nearest name.

    That is a name that is not known, a model that cannot be loaded, or an amount that a training
    cannot have. Beside the experiment's own, `methods` may name any method and `tasks` any task.
    """
    known = choices(chapter)
    if values.get("model"):
        try:
            foundations.resolve(values["model"])
        except (foundations.UnknownFoundation, loading.BadFolder) as error:
            raise BadParameter(str(error)) from error
    amounts = {name: values[name] for name in AMOUNTS if values.get(name)}
    if known and amounts:
        try:
            chapters.experiment(chapter).budget(values["tier"]).with_settings(amounts)
        except BadExperiment as error:
            raise BadParameter(str(error)) from error
    if known and values.get("methods"):
        design = chapters.experiment(chapter)
        try:
            design.chosen(_arms(design), values["methods"])
        except BadExperiment as error:
            raise BadParameter(str(error)) from error
    for parameter, others in (("tasks", tasks.names()), ("all_orders", [])):
        own = known.get(parameter, [])
        for name in values.get(parameter, ()) if own else ():
            if name not in own and name not in others:
                hint = did_you_mean(name, own, f"it has {', '.join(own)}")
                raise BadParameter(f"{parameter}={name!r}: {chapter} has no such name; {hint}")


def _arms(design: Experiment) -> dict[str, Arm]:
    return design.arms_of(design.base(next(iter(design.budgets))))
