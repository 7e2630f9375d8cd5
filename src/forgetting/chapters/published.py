"""What the chapters' stored runs say: their best published tier, verdicts, values for prose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from forgetting import chapters
from forgetting.evidence import claims, records
from forgetting.evidence.claims import PUBLISHED, Verdict
from forgetting.evidence.papers import papers
from forgetting.evidence.records import BadRecord, Run, Tier
from forgetting.evidence.trajectories import Trajectory, trajectories
from forgetting.experiments.arms import Arm, At, Made, Training
from forgetting.experiments.experiment import Experiment

SURPRISE = "surprise"  # the design of runs that are asked nothing but how answers surprise them


def runs(chapter: str, tiers: Sequence[Tier] = PUBLISHED) -> list[Run]:
    """A chapter's comparable runs of the first tier that has any."""
    if chapter not in chapters.names():
        return []
    design = chapters.experiment(chapter)
    stored = (design.stored(tier) for tier in tiers)
    return next((of_tier for of_tier in stored if any(not run.start for run in of_tier)), [])


def verdicts(
    chapter: str | None = None, tier: Tier | None = None, bad: list[BadRecord] | None = None
) -> list[Verdict]:
    """The verdict of every claim (of `chapter`), from the best published tier or from `tier`.

    A `q` is over all of the book, so that all is judged whichever chapter is asked for. Raises
    `BadRecord`; with a list `bad` that is added to it, and the chapter's claims are not tested.
    """
    asked = [(claim, paper) for paper in papers() for claim in paper.claims]
    tiers = (tier,) if tier else PUBLISHED
    stored: dict[str, list[Run]] = {}
    for name in sorted({claim.chapter for claim, _ in asked}):
        stored[name] = []
        with records.noted(bad):
            stored[name] = runs(name, tiers)
    rates = {name: central_rate(of_chapter) for name, of_chapter in stored.items()}
    known = set(chapters.names())
    checks = {name: chapters.experiment(name).checks if name in known else {} for name in stored}
    judged = claims.adjusted(
        [
            claims.judge(c, paper, stored[c.chapter], rates[c.chapter], checks[c.chapter])
            for c, paper in asked
        ]
    )
    return [verdict for verdict in judged if chapter in (None, verdict.chapter)]


def surprised(chapter: str, tiers: Sequence[Tier] = PUBLISHED) -> Run | None:
    """The run of a chapter's base that says how much each kind of answers surprised it."""
    stored = (run for tier in tiers for run in records.stored(chapter, tier))
    return next((run for run in stored if run.design == SURPRISE), None)


def perplexities(chapter: str) -> dict[str, float]:
    """Of each kind of a chapter's answers, its perplexity under the base; {} if nobody asked."""
    run = surprised(chapter)
    if run is None:
        return {}
    return {kind: math.exp(scores.mean("surprise")) for kind, scores in run.scores.items()}


def central_rate(stored: Sequence[Run]) -> float | None:
    """The central rate of the budget that runs were made for; None where there is no budget."""
    if not stored or stored[0].experiment not in chapters.names():
        return None
    budgets = chapters.experiment(stored[0].experiment).budgets
    return budgets[stored[0].tier].rates[0] if stored[0].tier in budgets else None


def scoreboard() -> list[Verdict]:
    """Every claim with its verdict, then what papers state and no claim judges: "not tested"."""
    return verdicts() + claims.unjudged()


def whole(design: Experiment, stored: Sequence[Run]) -> list[Run]:
    """The runs that were asked everything: the start, and each arm's at its central rate.

    Another rate that somebody ran as a central one does not count.
    """
    if not stored:
        return []
    roles = max((run.scores.keys() for run in stored), key=len)
    rates = _central_rates(design, stored[0].tier)
    return [
        run
        for run in stored
        if run.scores.keys() >= roles
        and (run.start or run.labels["learning_rate"] in rates.get(run.labels["method"], ()))
    ]


def arm_of(design: Experiment, run: Run) -> str:
    """The arm that a run is of, also where it continues the curve of another at its own rate."""
    budget, base = design.budget(run.tier), design.base(run.tier)
    at = At(base, {}, budget.rates[0])
    for name, arm in design.arms_of(base).items():
        curve = getattr(arm, "curve", "")
        if curve == run.labels["method"] and _rate(arm, at) == run.labels["learning_rate"]:
            return name
    return str(run.labels["method"])


def ends(design: Experiment, stored: Sequence[Run]) -> dict[str, list[Run]]:
    """Each arm's runs that were asked everything, in the experiment's order, without the start."""
    groups: dict[str, list[Run]] = {}
    for run in whole(design, stored):
        if not run.start:
            groups.setdefault(arm_of(design, run), []).append(run)
    known = design.arms_of(design.base(stored[0].tier)) if stored else ()
    return {name: groups[name] for name in dict.fromkeys((*known, *groups)) if name in groups}


def _central_rates(design: Experiment, tier: Tier) -> dict[str, set[float]]:
    """By curve, the central rate of each of its arms."""
    budget, base = design.budget(tier), design.base(tier)
    at = At(base, {}, budget.rates[0])
    rates: dict[str, set[float]] = {}
    for name, arm in design.arms_of(base).items():
        rates.setdefault(getattr(arm, "curve", "") or name, set()).add(_rate(arm, at))
    return rates


def _rate(arm: Arm, at: At) -> float:
    """The rate at which an arm stands where the place's is `at.rate`."""
    return arm.learning_rate(at) if isinstance(arm, Made | Training) else at.rate


def sequences(chapter: str) -> list[Trajectory]:
    """The stored trajectories through a chapter's own tasks, of its best published tier."""
    stored = runs(chapter)
    if not stored:
        return []
    taught = chapters.experiment(chapter).taught(stored[0].tier, "public")
    return trajectories(stored, taught, central_rate(stored))


def across(x: str, y: str, tier: Tier) -> dict[str, list[tuple[float, float]]]:
    """By chapter, (x, y) of every trained run that measured both "role.metric"s."""
    roles = {measure.rpartition(".")[0] for measure in (x, y)}
    measured = {
        chapter: [r for r in runs(chapter, (tier,)) if not r.start and roles <= r.scores.keys()]
        for chapter in chapters.names()
    }
    return {name: [(r.mean(x), r.mean(y)) for r in of] for name, of in measured.items() if of}


def _quoted(chapter: str) -> dict[str, Any]:
    views = import_module(f"forgetting.chapters.{chapter}.views")
    return views.quoted() if hasattr(views, "quoted") else {}


def book_values() -> dict[str, Any]:
    """What prose may quote: `r.<chapter>.runs`, `.seeds`, … and `r.claims["id"].measured`, …

    `r.<chapter>.perplexity` has that of each kind of answers, and what a chapter's `views.quoted`
    gives stands beside it.
    """
    values: dict[str, Any] = {
        "claims": {v.id: v.model_dump() | {"measured": v.measured} for v in verdicts()}
    }
    stored = {chapter: runs(chapter) for chapter in records.experiments()}
    return values | {
        name: claims.summary(of) | {"perplexity": perplexities(name)} | _quoted(name)
        for name, of in stored.items()
        if of
    }
