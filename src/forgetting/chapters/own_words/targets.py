"""How much the answers that each arm shows surprise the model before it is trained."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from forgetting.chapters.published import SURPRISE
from forgetting.evidence.records import Run, Tier
from forgetting.experiments.arms import Training
from forgetting.experiments.asks import Source
from forgetting.experiments.experiment import START, Experiment
from forgetting.experiments.study import Cell, measure
from forgetting.lineage import Settings
from forgetting.probes.measures import Surprise


def surprise_probes(
    experiment: Experiment,
    tier: Tier,
    *,
    model: str = "",
    data: Source = "auto",
    methods: Sequence[str] = (),
    without: Collection[str] = (),
    seed: int = 0,
    **settings: Any,
) -> dict[str, Surprise]:
    """A probe for each kind of answers, by the first arm that shows it.

    Arms that differ in their objective alone show the same answers; they stand once.
    """
    budget, base = experiment.budget(tier), experiment.base(tier, model)
    amount = Settings(**budget.with_settings(settings))
    task = next(iter(experiment.taught(tier, experiment.data(data)).values()))
    arms = experiment.chosen(experiment.arms_of(base), methods or budget.arms)
    shown = {
        name: arm.what(base, task)
        for name, arm in arms.items()
        if isinstance(arm, Training) and name not in without
    }
    kinds = {what: name for name, what in reversed(shown.items())}
    return {name: Surprise(name, what, amount, seed) for what, name in reversed(kinds.items())}


def surprises(experiment: Experiment, tier: Tier, *, model: str = "", **options: Any) -> Run:
    """The surprise of every token of each kind of answers, as one run of the base.

    `options` are those of `surprise_probes`.
    """
    probes = surprise_probes(experiment, tier, model=model, **options)
    labels = {"method": START, "learning_rate": 0.0, "seed": options.get("seed", 0)}
    start = Cell(experiment.base(tier, model), labels, start=True)
    return measure(experiment.name, [start], probes, tier, keep=list(probes), design=SURPRISE)[0]
