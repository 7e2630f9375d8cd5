"""Verdicts: claims judged against an experiment's runs, by pure functions.

A verdict compares the interval of an effect with the tolerance that was written down beforehand; an
interval that does not settle it leaves the claim undecided, and a manipulation check that fails
leaves it untested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict
from scipy import stats

from forgetting.evidence import effects, power, records
from forgetting.evidence.checks import Check
from forgetting.evidence.effects import OutOfRange
from forgetting.evidence.intervals import Effect
from forgetting.evidence.papers import Claim, Paper, papers
from forgetting.evidence.power import FEWEST_SEEDS
from forgetting.evidence.records import Run, Tier
from forgetting.wording import count, did_you_mean, with_bounds

PUBLISHED: tuple[Tier, ...] = ("full", "laptop")
Word = Literal["holds", "too small", "reversed", "undecided", "not tested"]
WORDS: tuple[Word, ...] = get_args(Word)
FAILED: tuple[Word, ...] = ("too small", "reversed")


class Verdict(BaseModel):
    """What the records say of one claim.

    `effect`, `low` and `high` are what was measured, `threshold` what it must lie beyond (for
    "equal", the upper one of two). `p` is two-sided against the threshold that the verdict turns
    on, `q` the same after Benjamini & Hochberg (1995) over the book's claims, written before and
    exploratory ones apart. `detectable` is the distance from the threshold that such runs would
    show in four cases of five, `needed` what would decide. `first` is the day of the first record.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    statement: str
    paper: str
    citation: str
    source: str
    chapter: str
    verdict: Word
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    direction: str = ""
    than: float = 0.0
    tolerance: float = 0.0
    threshold: float | None = None
    unit: str = ""
    p: float | None = None
    q: float | None = None
    detectable: float | None = None
    needed: str = ""
    exploratory: bool = False
    written: str = ""
    first: str | None = None
    tier: str | None = None
    seeds: int = 0
    orders: int = 1
    date: str | None = None
    reason: str = ""
    why: str = ""

    @property
    def runs(self) -> str:
        """What the effect is a mean over: "3 seeds", or "3 seeds, 6 orders"; "" if not run."""
        words = [count(self.seeds, "seed")] if self.seeds else []
        return ", ".join(words + [f"{self.orders} orders"] * (self.orders > 1))

    @property
    def condition(self) -> str:
        """What must be so for the claim to hold: "above 0.05", "within ±0.03"."""
        ends = [f"{self.than + end * self.tolerance:g}".replace("-", "−") for end in (-1, 1)]
        if self.direction == "equal" and not self.than:
            return f"within ±{ends[1]}"
        words = {"less": f"below {ends[0]}", "greater": f"above {ends[1]}"}
        return words.get(self.direction, f"between {ends[0]} and {ends[1]}")

    @property
    def interval(self) -> str:
        """The effect and its interval on one line: "−0.123 [−0.200, −0.050]"; "" if not run."""
        if self.effect is None or self.low is None or self.high is None:
            return ""
        mean, low, high = with_bounds(self.effect, self.low, self.high)
        return f"{mean} [{low},\u00a0{high}]"

    @property
    def measured(self) -> str:
        """The effect in a sentence: "+0.12 (−0.10 to +0.31; *undecided*)"."""
        if self.effect is None or self.low is None or self.high is None:
            return f"*{self.verdict}*"
        mean, low, high = with_bounds(self.effect, self.low, self.high)
        return f"{mean} ({low} to {high}; *{self.verdict}*)"

    @property
    def decided(self) -> bool:
        return self.verdict in ("holds", *FAILED)


def judge(
    claim: Claim,
    paper: Paper,
    runs: Sequence[Run],
    central: float | None = None,
    checks: Mapping[str, Check] | None = None,
) -> Verdict:
    """One claim against an experiment's runs of one tier.

    A side that names no learning rate, and is not read along its rates, means the `central` one.
    `checks` are the experiment's manipulation checks, by the names that claims need.
    """
    about: dict[str, Any] = {
        name: getattr(claim, name)
        for name in Claim.model_fields.keys() & Verdict.model_fields.keys() - {"paper"}
    } | {"paper": paper.short, "citation": paper.citation, "threshold": claim.thresholds[-1]}
    left = _side(claim, claim.left, runs, central)
    against = dict(claim.right or {})
    if claim.matched_on:
        against.pop("epochs", None)  # a curve runs over epochs as well as rates
    right = _side(claim, against, runs, central) if claim.right is not None else []
    if not left or (claim.right is not None and not right):
        return Verdict(**about, verdict="not tested", reason="not run: no records of both sides")
    sides = [*left, *right]
    about |= {
        "tier": left[0].tier,
        "first": min(run.first_date for run in sides)[:10],
        "date": max(run.timing["date"] for run in sides)[:10],
    }
    try:
        _check_measured(claim, [left[0], *right[:1]])
        effect = _effect(claim, left, right, runs)
    except KeyError as error:
        return Verdict(**about, verdict="not tested", reason=f"not run: {error.args[0]}")
    except OutOfRange as error:
        return Verdict(**about, verdict="undecided", reason=str(error))
    word, reason = decide(effect, claim)
    beside = _beside(runs, left[0], central)
    by_side = {"left": left, "right": right}
    failures = [check.failure(beside, by_side) for check in _needed(claim, checks or {})]
    if failed := next(filter(None, failures), ""):
        word, reason = "not tested", failed
    if claim.withdrawn:
        word, reason = "not tested", f"withdrawn: {claim.withdrawn}"
    about |= {"effect": effect.mean, "low": effect.low, "high": effect.high}
    about |= {"seeds": effect.seeds, "orders": effect.orders, "p": _p(effect, claim, word)}
    if word == "undecided":
        seconds = sum(
            median(run.timing["seconds"] for run in side) for side in (left, right) if side
        )
        about |= {
            "detectable": effect.detectable,
            "needed": power.needed(effect, claim.thresholds, seconds * effect.orders),
        }
    return Verdict(**about, verdict=word, reason=reason)


def _effect(claim: Claim, left: Sequence[Run], right: Sequence[Run], runs: Sequence[Run]) -> Effect:
    """What a claim is about, as its kind asks for."""
    if claim.line_on:
        trained = [run for run in left if not run.start]
        return effects.line_effect(trained, claim.line_on, claim.measures[0])
    if claim.matched_on:
        curve = [*(run for run in runs if run.start), *right]
        worse = -1 if claim.direction == "greater" else 1
        return effects.matched_effect(left, curve, claim.measures, claim.matched_on, worse)
    if claim.right is None:
        return effects.lone_effect(left, claim.measures)
    return effects.paired_effect(left, right, claim.measures, same=claim.same)


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


def _needed(claim: Claim, checks: Mapping[str, Check]) -> list[Check]:
    for name in claim.needs:
        if name not in checks:
            known = f"there are {', '.join(checks) or 'none'}"
            hint = did_you_mean(name, checks, known)
            raise ValueError(f"claim {claim.id!r}: needs={name!r}: no check of its chapter; {hint}")
    return [checks[name] for name in claim.needs]


def _beside(runs: Sequence[Run], like: Run, central: float | None) -> list[Run]:
    """The start, and the runs that stand where one does: at the central rate, after as much."""
    place = {k: v for k, v in like.labels.items() if k in ("epochs", "learned")}
    if central is not None:
        place["learning_rate"] = central
    return [run for run in runs if run.start or records.select([run], **place)]


def decide(effect: Effect, claim: Claim) -> tuple[Word, str]:
    """The verdict and its reason. Fewer than three seeds decide nothing."""
    if effect.seeds < FEWEST_SEEDS:
        each = " in each order" if effect.orders > 1 else ""
        return "undecided", f"{count(effect.seeds, 'seed')}{each}, {FEWEST_SEEDS} are asked for"
    low, high = effect.low - claim.than, effect.high - claim.than
    if claim.direction == "less":
        low, high = -high, -low
    if claim.direction == "equal":
        if -claim.tolerance < low and high < claim.tolerance:
            return "holds", "the interval lies within the tolerance"
        if low > claim.tolerance or high < -claim.tolerance:
            return "reversed", "the interval lies outside the tolerance"
    elif low > claim.tolerance:
        return "holds", "the whole interval lies beyond the threshold"
    elif high < 0:
        return "reversed", "the whole interval lies on the other side"
    elif high < claim.tolerance:
        return "too small", "the whole interval lies short of the threshold"
    return "undecided", "the interval contains the threshold"


def _p(effect: Effect, claim: Claim, word: Word) -> float:
    """Against the threshold that the verdict turns on."""
    if word == "reversed" and claim.direction != "equal":
        return effect.p(claim.than)
    values = [effect.p(threshold) for threshold in claim.thresholds]
    return min(values) if word == "reversed" else max(values)


def adjusted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with their `q`: p-values after Benjamini & Hochberg, exploratory ones apart."""
    by_id: dict[str, float] = {}
    for exploratory in (False, True):
        tested = [
            v
            for v in verdicts
            if v.p is not None
            and v.seeds >= FEWEST_SEEDS
            and v.exploratory is exploratory
            and v.verdict != "not tested"
        ]
        values = stats.false_discovery_control([v.p for v in tested]) if tested else []
        by_id |= {v.id: float(q) for v, q in zip(tested, values, strict=True)}
    return [v.model_copy(update={"q": by_id.get(v.id)}) for v in verdicts]


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
            verdict="not tested",
            reason="not run: no experiment of this book decides it yet",
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
