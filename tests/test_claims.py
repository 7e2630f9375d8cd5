"""Verdicts: intervals against textbook formulas, decisions on hand-made records."""

import math

import numpy as np
import pytest
from scipy import stats
from studies import run

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence import claims, papers
from forgetting.evidence.checks import Check
from forgetting.evidence.claims import Verdict, decide
from forgetting.evidence.intervals import (
    Effect,
    OutOfRange,
    interval,
    matched_effect,
    paired_effect,
)
from forgetting.evidence.papers import Claim, Paper, Table
from forgetting.experiments.experiment import START


def a_run(method, rate, seed, followed, nats=(2.0, 4.0), tokens=(10, 30), **given):
    """Asked two roles: `formats.followed` per item, and `chinese` in nats a token."""
    log_likelihood = [-x * t for x, t in zip(nats, tokens, strict=True)]
    text = {"log_likelihood": log_likelihood, "tokens": list(tokens)}
    return run(method, rate, seed, {"formats": {"followed": followed}, "chinese": text}, **given)


START_RUN = a_run("untouched", 0.0, 0, [1, 1, 1, 1])
FULL = [a_run("full", 1e-4, seed, [0, 0, 0, 0]) for seed in range(3)]


def claim(**changes):
    fields = {
        "id": "toy",
        "paper": "0000.00000",
        "chapter": "freezing",
        "source": "C1",
        "statement": "It forgets.",
        "measures": ["formats.followed"],
        "left": {"method": "full"},
        "right": {"method": "untouched"},
        "direction": "less",
        "tolerance": 0.1,
        "unit": "share",
    }
    return Claim(**(fields | changes))


PAPER = Paper(id="0000.00000", citation="toy", title="Toy", short="Toy (2026)")


def test_one_seed_gives_the_paired_t_interval_over_items():
    differences = np.array([[0.0, -1.0, 0.0, -1.0, 0.0]])
    found = interval(differences)
    low, high = stats.ttest_1samp(differences[0], 0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_items_that_all_agree_leave_the_t_interval_over_seeds():
    by_seed = np.array([0.1, 0.3, 0.5])
    found = interval(np.repeat(by_seed[:, None], 7, axis=1))
    low, high = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_covers_the_truth_when_seeds_and_items_vary():
    """Crossed random effects, simulated: at least 95 % of intervals contain the true mean."""
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        seeds, items = draw.normal(0, 0.3, (4, 1)), draw.normal(0, 1, (1, 40))
        found = interval(1.0 + seeds + items + draw.normal(0, 0.2, (4, 40)))
        hits += found.low <= 1.0 <= found.high
    assert hits / 300 >= 0.93


def test_orders_are_paired_and_count_alike():
    """Two orders of two methods pair order by order; what has no order pairs with each of them.

    A second seed of one order does not make that order weigh more: (1/2 + (1/2 - 1/2)/2) / 2.
    """

    def ordered(method, order, value, seed=0):
        return a_run(method, 1e-4, seed, value, labels={"order": order})

    def effect(left, right):
        found = paired_effect(left, right, ["formats.followed"])
        return found.mean, found.seeds, found.orders

    left = [ordered("a", "x, y", [1.0, 0.0]), ordered("a", "y, x", [1.0, 1.0])]
    right = [ordered("b", "y, x", [0.0, 1.0]), ordered("b", "x, y", [0.0, 0.0])]
    assert effect(left, right) == (0.5, 1, 2)
    assert effect(left, [a_run("c", 1e-4, 0, [1.0, 1.0])]) == (-0.25, 1, 2)
    assert effect(left[:1], right) == (0.5, 1, 1)
    left.append(ordered("a", "x, y", [0.0, 0.0], seed=1))
    right.append(ordered("b", "x, y", [1.0, 0.0], seed=1))
    assert effect(left, right) == (0.25, 2, 2)
    assert paired_effect(left, right, ["formats.followed"]).beyond(0.25).orders == 2


def test_a_verdict_says_what_it_is_a_mean_over():
    about = dict.fromkeys(["id", "statement", "paper", "citation", "source", "chapter"], "x")
    verdict = Verdict(**about, verdict="holds", seeds=1)
    assert verdict.runs == "1 seed"
    assert verdict.model_copy(update={"seeds": 3, "orders": 6}).runs == "3 seeds, 6 orders"
    assert verdict.model_copy(update={"seeds": 0}).runs == ""


def test_long_items_weigh_as_many_tokens_as_they_have():
    one = a_run("full", 1e-4, 0, [1.0], nats=(3.0, 4.0))
    base = a_run("untouched", 0.0, 0, [1.0], nats=(2.0, 4.0))
    found = paired_effect([one], [base], ["chinese.nats"])
    assert found.mean == pytest.approx((10 * 1.0 + 30 * 0.0) / 40)


@pytest.mark.parametrize(
    ("low", "high", "direction", "verdict"),
    [
        (0.2, 0.4, "greater", "holds"),
        (0.05, 0.4, "greater", "undecided"),
        (-0.3, 0.05, "greater", "contradicted"),
        (-0.4, -0.2, "less", "holds"),
        (-0.05, 0.3, "less", "contradicted"),
        (-0.05, 0.05, "equal", "holds"),
        (0.2, 0.3, "equal", "contradicted"),
        (0.05, 0.3, "equal", "undecided"),
    ],
)
def test_a_verdict_compares_the_interval_with_the_tolerance(low, high, direction, verdict):
    effect = Effect(mean=(low + high) / 2, low=low, high=high, items=9, seeds=3)
    assert decide(effect, direction, tolerance=0.1)[0] == verdict


def test_two_seeds_decide_nothing():
    effect = Effect(mean=9, low=8, high=10, items=9, seeds=2)
    assert decide(effect, "greater", 0.1) == ("undecided", "2 seeds, 3 are asked for")


def test_judged_from_runs():
    verdict = claims.judge(claim(), PAPER, [START_RUN, *FULL])
    assert (verdict.verdict, verdict.effect, verdict.seeds) == ("holds", -1.0, 3)
    assert (verdict.tier, verdict.date) == ("laptop", "2026-01-02")
    others = {"direction": "greater"}, {"left": {"method": "LoRA"}}, {"measures": ["arc.acc"]}
    judged = [claims.judge(claim(**other), PAPER, [START_RUN, *FULL]) for other in others]
    assert [one.verdict for one in judged] == ["contradicted", "not run", "not run"]
    assert judged[2].reason.startswith("role='arc': ")


def test_a_side_that_names_no_rate_means_the_central_one():
    """Runs at another rate do not take the place of the tier's; the start has no rate."""
    runs = [START_RUN, *FULL, *(a_run("full", 1e-3, seed, [1, 1, 1, 1]) for seed in range(3))]
    verdict = claims.judge(claim(), PAPER, runs, central=1e-4)
    assert (verdict.verdict, verdict.effect, verdict.seeds) == ("holds", -1.0, 3)
    assert claims.judge(claim(), PAPER, runs, central=1e-3).effect == 0.0
    at_laptop = chapters.experiment("freezing").budget("laptop").rates[0]
    assert published.central_rate([run(experiment="freezing")]) == at_laptop == 1e-4
    assert published.central_rate([run(experiment="trial")]) is None is published.central_rate([])


def test_only_common_seeds_are_paired():
    left = [a_run("full", 1e-4, seed, [seed, seed]) for seed in (0, 1, 2)]
    right = [a_run("LoRA", 1e-4, seed, [0, 0]) for seed in (1, 2, 3)]
    found = paired_effect(left, right, ["formats.followed"])
    assert (found.mean, found.seeds) == (1.5, 2)
    with pytest.raises(OutOfRange, match="no seed"):
        paired_effect(left[:1], right, ["formats.followed"])


def test_at_matched_learning_the_curve_is_read_between_its_points():
    """The curve loses 0 at 4 nats and 1 at 2 nats; at 3 nats it would have lost one half."""
    curve = [
        a_run("untouched", 0.0, 0, [0.0, 0.0], nats=(4.0, 4.0)),
        a_run("full", 1e-4, 0, [1.0, 1.0], nats=(2.0, 2.0)),
    ]
    left = [a_run("LoRA", 1e-3, 0, [0.5, 0.7], nats=(3.0, 3.0))]
    found = matched_effect(left, curve, ["formats.followed"], "chinese.nats")
    assert found.mean == pytest.approx(0.1)
    beyond = [a_run("LoRA", 1e-3, 0, [0.5, 0.7], nats=(1.0, 1.0))]
    with pytest.raises(OutOfRange, match=r"learned 1\.00, the other method's rates span 2\.00"):
        matched_effect(beyond, curve, ["formats.followed"], "chinese.nats")


def test_every_claim_on_file_names_roles_and_arms_that_exist():
    for one in (claim for paper in papers.papers() for claim in paper.claims):
        experiment = chapters.experiment(one.chapter)
        roles = {ask.role for ask in experiment.every_ask()}
        measures = [*one.measures, *filter(None, (one.matched_on, one.line_on))]
        assert {measure.rpartition(".")[0] for measure in measures} <= roles, one.id
        arms = experiment.arms_of(experiment.base("smoke")).items()
        curves = {getattr(arm, "curve", "") or name for name, arm in arms}
        for side in filter(None, (one.left, one.right)):
            assert side.get("method", START) in {START, *curves}, one.id
        assert one.tolerance > 0


def test_a_value_named_beforehand():
    """Means 1, 2 and 3 against 1.5: the effect is 0.5, its interval holds it."""
    stored = [a_run("full", 1e-4, seed, [seed + 1.0] * 4) for seed in range(3)]
    alone = claim(right=None, than=1.5, direction="greater")
    verdict = claims.judge(alone, PAPER, stored)
    assert verdict.effect == pytest.approx(0.5)
    assert verdict.low < 0.5 < verdict.high
    assert claims.judge(claim(right=None, than=-9, direction="greater"), PAPER, stored).verdict == (
        "holds"
    )


def test_the_share_of_items_that_stayed_the_same():
    runs = [a_run("untouched", 0.0, 0, [1, 2, 3, 4])]
    runs += [a_run("full", 1e-4, seed, [1, 2, 3, 0]) for seed in range(3)]
    verdict = claims.judge(claim(same=True, than=1.0, direction="less"), PAPER, runs)
    assert verdict.effect == pytest.approx(-0.25)


def test_a_line_through_runs():
    stored = [a_run("full", 1e-4, seed, [seed, seed + 1.0]) for seed in range(8)]
    told = {"left": {}, "right": None, "than": 0.9, "direction": "greater", "tolerance": 0.01}
    verdict = claims.judge(claim(**told, line_on=claim().measures[0]), PAPER, stored)
    assert (verdict.verdict, verdict.seeds) == ("holds", 8)
    assert verdict.effect == pytest.approx(0.1)
    few = claims.judge(claim(**told, line_on=claim().measures[0]), PAPER, stored[:2])
    assert (few.verdict, few.reason) == ("undecided", "2 different points: a line needs 3")


def test_a_ragged_published_table_is_refused():
    with pytest.raises(ValueError, match="row 'a' has 1 numbers, 2 columns"):
        Table(source="s", columns=["x", "y"], unit="", rows={"a": [1.0]})


def test_published_effects_lie_within_their_intervals():
    judged = [verdict for verdict in published.verdicts() if verdict.effect is not None]
    assert len(judged) >= 50 and all(math.isfinite(verdict.effect) for verdict in judged)
    assert all(verdict.low <= verdict.effect <= verdict.high for verdict in judged)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"measure": "formats.followed", "above": 0.5}, ""),
        ({"measure": "formats.followed", "above": 1}, "is 1, must be above 1"),
        ({"measure": "formats.followed", "arm": "full", "above": 0.1}, "is 0, must be above 0.1"),
        ({"measure": "formats.followed", "arm": "full", "below": -0.5, "change": True}, ""),
        (
            {"measure": "chinese.nats", "arm": "full", "below": -0.05, "change": True},
            "changed by 0.25, must be below -0.05",
        ),
        ({"measure": "formats.followed", "arm": "LoRA", "above": 9}, ""),  # nobody ran it
        ({"measure": "arc.acc", "above": 9}, ""),  # nobody asked it
    ],
)
def test_a_check_says_in_a_line_what_was_not_delivered(check, words):
    """The start has 1 of formats and (10·2 + 30·4)/40 = 3.5 nats, its arm 0 and 4, 4 and 3.25."""
    arm = [
        a_run("full", 1e-4, seed, [0, 0], nats=(x, x)) for seed, x in enumerate((4.0, 4.0, 3.25))
    ]
    failure = Check("Is there anything to lose?", **check).failure([*arm, START_RUN])
    assert failure == (f"Is there anything to lose? {check['measure']} {words}" if words else "")
