"""Verdicts: claims judged against an experiment's runs, by pure functions.

A verdict compares the interval of an effect with the tolerance that was written down beforehand; an
interval that does not settle it leaves the claim undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from forgetting.evidence import intervals, records
from forgetting.evidence.intervals import Effect, OutOfRange
from forgetting.evidence.papers import Claim, Paper, papers
from forgetting.evidence.records import Run, Tier
from forgetting.wording import count

FEWEST_SEEDS = 3
PUBLISHED: tuple[Tier, ...] = ("full", "laptop")


class Verdict(BaseModel):
    """What the records say of one claim."""

    model_config = ConfigDict(frozen=True)

    id: str
    statement: str
    paper: str
    citation: str
    source: str
    chapter: str
    verdict: Literal["holds", "contradicted", "undecided", "not run"]
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    direction: str = ""
    tolerance: float = 0.0
    unit: str = ""
    tier: str | None = None
    seeds: int = 0
    orders: int = 1
    date: str | None = None
    reason: str = ""
    why: str = ""

    @property
    def runs(self) -> str:
        """What the effect is a mean over: "3 seeds", or "3 seeds, 6 orders"; "" if not run."""
        told = [count(self.seeds, "seed")] if self.seeds else []
        return ", ".join(told + [f"{self.orders} orders"] * (self.orders > 1))


def judge(claim: Claim, paper: Paper, runs: Sequence[Run], central: float | None = None) -> Verdict:
    """One claim against an experiment's runs of one tier.

    A side that names no learning rate, and is not read along its rates, means the `central` one.
    """
    about: dict[str, Any] = {
        "id": claim.id,
        "statement": claim.statement,
        "paper": paper.short,
        "citation": paper.citation,
        "source": claim.source,
        "chapter": claim.chapter,
        "direction": claim.direction,
        "tolerance": claim.tolerance,
        "unit": claim.unit,
        "why": claim.why,
    }
    left = _side(claim, claim.left, runs, central)
    right = _side(claim, claim.right, runs, central) if claim.right is not None else []
    if not left or (claim.right is not None and not right):
        return Verdict(**about, verdict="not run", reason="no records of both sides")
    try:
        _check_measured(claim, [left[0], *right[:1]])
        effect = _effect(claim, left, right, runs).beyond(claim.than)
    except KeyError as error:
        return Verdict(**about, verdict="not run", reason=str(error.args[0]))
    except OutOfRange as error:
        return Verdict(**about, verdict="undecided", reason=str(error))
    verdict, reason = decide(effect, claim.direction, claim.tolerance)
    return Verdict(
        **about,
        verdict=verdict,
        reason=reason,
        effect=effect.mean,
        low=effect.low,
        high=effect.high,
        tier=left[0].tier,
        seeds=effect.seeds,
        orders=effect.orders,
        date=max(run.timing["date"] for run in [*left, *right])[:10],
    )


def _effect(claim: Claim, left: Sequence[Run], right: Sequence[Run], runs: Sequence[Run]) -> Effect:
    """What a claim is about, as its kind asks for."""
    if claim.line_on:
        trained = [run for run in left if not run.start]
        return intervals.line_effect(trained, claim.line_on, claim.measures[0])
    if claim.matched_on:
        curve = [*(run for run in runs if run.start), *right]
        return intervals.matched_effect(left, curve, claim.measures, claim.matched_on)
    if claim.right is None:
        return intervals.lone_effect(left, claim.measures)
    return intervals.paired_effect(left, right, claim.measures, same=claim.same)


def _check_measured(claim: Claim, sides: Sequence[Run]) -> None:
    """Raise `KeyError` for a role that one of the sides was not asked."""
    also = [m for m in (claim.line_on, claim.matched_on) if m]
    for measure in (*claim.measures, *also):
        for run in sides:
            run.scores_of(measure.rpartition(".")[0])


def _side(
    claim: Claim, labels: dict[str, Any], runs: Sequence[Run], central: float | None
) -> list[Run]:
    chosen = records.select(runs, **labels)
    if claim.line_on or claim.matched_on or "learning_rate" in labels or central is None:
        return chosen
    return [run for run in chosen if run.start or run.labels["learning_rate"] == central]


def decide(
    effect: Effect, direction: str, tolerance: float
) -> tuple[Literal["holds", "contradicted", "undecided"], str]:
    """The verdict and its reason. Fewer than three seeds decide nothing."""
    if effect.seeds < FEWEST_SEEDS:
        return "undecided", f"{count(effect.seeds, 'seed')}, {FEWEST_SEEDS} are asked for"
    low, high = (-effect.high, -effect.low) if direction == "less" else (effect.low, effect.high)
    if direction == "equal":
        if -tolerance < low and high < tolerance:
            return "holds", "the interval lies within the tolerance"
        if low > tolerance or high < -tolerance:
            return "contradicted", "the interval lies outside the tolerance"
    elif low > tolerance:
        return "holds", "the whole interval lies beyond the tolerance"
    elif high < tolerance:
        return "contradicted", "the whole interval lies short of the tolerance"
    return "undecided", "the interval contains the tolerance"


def unjudged() -> list[Verdict]:
    """The papers' statements that no claim of this book judges yet."""
    return [
        Verdict(
            id=stated.id,
            statement=stated.statement,
            paper=paper.short,
            citation=paper.citation,
            source=stated.source,
            chapter=stated.chapter,
            verdict="not run",
            reason="no experiment of this book decides it yet",
        )
        for paper in papers()
        for stated in paper.stated
        if not stated.judged_by
    ]


def summary(stored: Sequence[Run]) -> dict[str, Any]:
    """A chapter's records in a few plain values."""
    seconds = [r.timing["seconds"] for r in stored]
    return {
        "runs": len(stored),
        "seeds": len({r.seed for r in stored}),
        "tier": stored[0].tier,
        "model": stored[0].model["name"],
        "device": stored[0].environment["device"],
        "minutes": sum(seconds) / 60,
        "seconds_a_run": sum(seconds) / len(seconds),
        "peak_memory_gib": max(r.timing["peak_memory_mib"] for r in stored) / 1024,
        "first": min(r.timing["date"] for r in stored)[:10],
        "last": max(r.timing["date"] for r in stored)[:10],
    }
