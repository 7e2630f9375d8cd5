"""Verdicts: effects and decisions on hand-made runs; `test_intervals` has the intervals."""

import math

import pytest
from studies import run

from forgetting import chapters
from forgetting.chapters import published
from forgetting.evidence import claims, papers, power
from forgetting.evidence.checks import Check
from forgetting.evidence.claims import Verdict, decide
from forgetting.evidence.effects import (
    OutOfRange,
    correlation_effect,
    line_effect,
    matched_effect,
    paired_effect,
)
from forgetting.evidence.intervals import Effect, Part
from forgetting.evidence.papers import Claim, Paper
from forgetting.experiments.experiment import START


def a_run(method, rate, seed, followed, nats=(2.0, 4.0), tokens=(10, 30), **given):
    """Asked two roles: `formats.followed` per item, and `chinese` in nats a token."""
    log_likelihood = [-x * t for x, t in zip(nats, tokens, strict=True)]
    text = {"log_likelihood": log_likelihood, "tokens": list(tokens)}
    return run(method, rate, seed, {"formats": {"followed": followed}, "chinese": text}, **given)


START_RUN = a_run("untouched", 0.0, 0, [1] * 8)
FULL = [a_run("full", 1e-4, seed, [0] * 8) for seed in range(3)]


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


def test_orders_are_a_population():
    """Two orders of two methods pair order by order; what has no order pairs with each of them.

    The mean is over orders, seed by seed, of the seeds that every order has.
    """

    def ordered(method, order, value, seed=0):
        return a_run(method, 1e-4, seed, value, labels={"order": order})

    def effect(left, right):
        effect = paired_effect(left, right, ["formats.followed"])
        return effect.mean, effect.seeds, effect.orders

    left = [ordered("a", "x, y", [1.0, 0.0]), ordered("a", "y, x", [1.0, 1.0])]
    right = [ordered("b", "y, x", [0.0, 1.0]), ordered("b", "x, y", [0.0, 0.0])]
    assert effect(left, right) == (0.5, 1, 2)
    assert effect(left, [a_run("c", 1e-4, 0, [1.0, 1.0])]) == (-0.25, 1, 2)
    assert effect(left[:1], right) == (0.5, 1, 1)
    left.append(ordered("a", "x, y", [0.0, 0.0], seed=1))
    right.append(ordered("b", "x, y", [1.0, 0.0], seed=1))
    assert effect(left, right) == (0.5, 1, 2), "seed 1 lacks an order"
    left.append(ordered("a", "y, x", [0.5, 0.0], seed=1))
    right.append(ordered("b", "y, x", [0.0, 0.0], seed=1))
    assert effect(left, right) == ((0.5 + (-0.5 + 0.25) / 2) / 2, 2, 2)


def test_orders_without_a_seed_in_common_decide_nothing():
    orders = ("x, y", "y, x")
    left = [
        a_run("a", 1e-4, seed, [1.0, 0.0], labels={"order": o}) for seed, o in enumerate(orders)
    ]
    right = [
        a_run("b", 1e-4, seed, [0.0, 0.0], labels={"order": o}) for seed, o in enumerate(orders)
    ]
    effect = paired_effect(left, right, ["formats.followed"])
    assert (effect.mean, effect.seeds, effect.orders) == (0.5, 1, 2)


def test_a_verdict_says_what_it_is_a_mean_over():
    about = dict.fromkeys(["id", "statement", "paper", "citation", "source", "chapter"], "x")
    verdict = Verdict(**about, verdict="holds", seeds=1)
    assert verdict.runs == "1 seed"
    assert verdict.model_copy(update={"seeds": 3, "orders": 6}).runs == "3 seeds, 6 orders"
    assert verdict.model_copy(update={"seeds": 0}).runs == ""


def test_long_items_weigh_as_many_tokens_as_they_have():
    trained = a_run("full", 1e-4, 0, [1.0], nats=(3.0, 4.0))
    base = a_run("untouched", 0.0, 0, [1.0], nats=(2.0, 4.0))
    effect = paired_effect([trained], [base], ["chinese.nats"])
    assert effect.mean == pytest.approx((10 * 1.0 + 30 * 0.0) / 40)


@pytest.mark.parametrize(
    ("low", "high", "direction", "than", "verdict"),
    [
        (0.2, 0.4, "greater", 0, "holds"),
        (0.05, 0.4, "greater", 0, "undecided"),
        (-0.3, 0.05, "greater", 0, "too small"),
        (-0.3, -0.05, "greater", 0, "reversed"),
        (-0.4, -0.2, "less", 0, "holds"),
        (-0.05, 0.3, "less", 0, "too small"),
        (0.05, 0.3, "less", 0, "reversed"),
        (-0.05, 0.05, "equal", 0, "holds"),
        (0.2, 0.3, "equal", 0, "reversed"),
        (0.05, 0.3, "equal", 0, "undecided"),
        (-0.1, 0.1, "greater", -0.3, "holds"),  # no worse than by 0.2
        (-0.6, -0.4, "greater", -0.3, "reversed"),
        (0.75, 0.85, "less", 0.9, "undecided"),
    ],
)
def test_a_verdict_compares_the_interval_with_the_threshold(low, high, direction, than, verdict):
    effect = Effect(mean=(low + high) / 2, low=low, high=high, items=9, seeds=3)
    assert decide(effect, claim(direction=direction, than=than))[0] == verdict


def test_two_seeds_decide_nothing():
    effect = Effect(mean=9, low=8, high=10, items=9, seeds=2)
    assert decide(effect, claim()) == ("undecided", "2 seeds, 3 are asked for")
    ordered = effect.model_copy(update={"orders": 6})
    assert decide(ordered, claim())[1] == "2 seeds in each order, 3 are asked for"


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({}, "below −0.1"),
        ({"direction": "greater", "than": -0.1, "tolerance": 0.05}, "above −0.05"),
        ({"direction": "equal"}, "within ±0.1"),
        ({"direction": "equal", "than": 1}, "between 0.9 and 1.1"),
    ],
)
def test_a_verdict_says_what_must_be_so(changes, condition):
    assert claims.judge(claim(**changes), PAPER, [START_RUN, *FULL]).condition == condition


def test_judged_from_runs():
    verdict = claims.judge(claim(), PAPER, [START_RUN, *FULL])
    assert (verdict.verdict, verdict.effect, verdict.seeds) == ("holds", -1.0, 3)
    assert (verdict.tier, verdict.first, verdict.date) == ("laptop", "2026-01-02", "2026-01-02")
    others = {"direction": "greater"}, {"left": {"method": "LoRA"}}, {"measures": ["arc.acc"]}
    judged = [claims.judge(claim(**other), PAPER, [START_RUN, *FULL]) for other in others]
    assert [v.verdict for v in judged] == ["reversed", "not tested", "not tested"]
    assert judged[2].reason.startswith("not run: role='arc': ")


def test_a_claim_whose_check_fails_is_not_tested():
    checks = {"lost": Check("Was anything lost?", "formats.followed", of="left", above=0.5)}
    verdict = claims.judge(claim(needs=["lost"]), PAPER, [START_RUN, *FULL], checks=checks)
    assert (verdict.verdict, verdict.effect) == ("not tested", -1.0)
    assert verdict.reason.startswith("Was anything lost? formats.followed is 0 [")
    checks["lost"] = Check("Was anything lost?", "formats.followed", of="left", below=0.5)
    assert claims.judge(claim(needs=["lost"]), PAPER, [START_RUN, *FULL], checks=checks).decided


def test_a_check_that_is_not_there_is_told_in_one_line():
    checks = {"learned": Check("Was it learned?", "formats.followed", above=0.1)}
    line = r"claim 'toy': needs='lerned': no check of its chapter; did you mean 'learned'\?"
    with pytest.raises(ValueError, match=line):
        claims.judge(claim(needs=["lerned"]), PAPER, [START_RUN, *FULL], checks=checks)


def test_a_check_on_an_arm_means_its_central_runs():
    """At another rate the arm keeps everything; that is not what the claim is about."""
    fast = [a_run("full", 1e-3, seed, [1] * 8) for seed in range(3)]
    checks = {"lost": Check("Was anything lost?", "formats.followed", of="full", below=0.5)}
    runs = [START_RUN, *FULL, *fast]
    for order in (runs, runs[::-1]):
        verdict = claims.judge(claim(needs=["lost"]), PAPER, order, 1e-4, checks)
        assert verdict.verdict == "holds"


def test_an_undecided_claim_says_what_would_decide_it():
    """Of eight items two fall by 1: the interval is wide, and more seeds do not help."""
    runs = [START_RUN, *(a_run("full", 1e-4, seed, [1, 0, 1, 1] * 2) for seed in range(3))]
    verdict = claims.judge(claim(), PAPER, runs)
    assert (verdict.verdict, verdict.effect) == ("undecided", -0.25)
    assert verdict.detectable > 0.25
    assert verdict.needed == "64 items"
    few = claims.judge(claim(), PAPER, runs[:2])
    assert few.needed.startswith("2 more seeds (about ")


def test_power_adds_what_is_dear_last():
    """Seeds of standard error 1 at 3 seeds: √3/√S, with Student's t of S - 1."""
    seeds = Effect(mean=3, items=9, seeds=3, centre=3, parts=(Part("seeds", 1.0, 2),))
    assert power.half_width(seeds, 3) == pytest.approx(4.303, abs=1e-3)
    assert power.half_width(seeds, 5) == pytest.approx(2.776 * (3 / 5) ** 0.5, abs=1e-3)
    assert power.needed(seeds, (0.0,), 120) == "1 more seed (about 2 min)"
    items = seeds.model_copy(update={"parts": (Part("items", 1.0, 8),)})
    assert power.half_width(items, 9, 4) == pytest.approx(2.037 / 2, abs=1e-3)  # t of 32
    assert power.needed(items, (1.5,), 120) == "18 items"
    assert power.needed(items, (2.99,), 120).startswith("no run of up to 12 seeds")


def test_many_claims_are_corrected_for_and_exploratory_ones_apart():
    """Benjamini & Hochberg by hand: p·n/rank, made monotone from the largest."""
    about = dict.fromkeys(["id", "statement", "paper", "citation", "source", "chapter"], "x")
    ps = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5}
    verdicts = [Verdict(**about | {"id": i}, verdict="holds", p=p, seeds=3) for i, p in ps.items()]
    verdicts.append(
        Verdict(**about | {"id": "e"}, verdict="holds", p=0.04, exploratory=True, seeds=3)
    )
    verdicts.append(Verdict(**about | {"id": "f"}, verdict="not tested", p=0.001, seeds=3))
    q = {verdict.id: verdict.q for verdict in claims.adjusted(verdicts)}
    assert q["a"] == pytest.approx(0.04)
    assert q["b"] == q["c"] == pytest.approx(0.04 * 4 / 3)
    assert (q["d"], q["e"], q["f"]) == (0.5, 0.04, None)


def test_a_side_that_names_no_rate_means_the_central_one():
    """Runs at another rate do not take the place of the tier's; the start has no rate."""
    runs = [START_RUN, *FULL, *(a_run("full", 1e-3, seed, [1] * 8) for seed in range(3))]
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


def at(method, seed, where, lost, rate=1e-4, epochs=None):
    """A run that ended at `where` nats and kept `lost` of each of two items."""
    labels = {"epochs": epochs} if epochs else {}
    return a_run(method, rate, seed, [lost, lost], nats=(where, where), labels=labels)


CURVE = [
    at("untouched", 0, 4.0, 0.0),
    *(at("full", seed, 3.0 + seed / 10, 0.1, 3e-5) for seed in range(3)),
    *(at("full", seed, 2.0, 1.1 - seed / 5, 1e-4) for seed in range(3)),
    *(at("full", seed, 2.5, 3.0, 1e-3) for seed in range(3)),  # learns less and loses more
]


def matched(left, curve=CURVE):
    return matched_effect(left, curve, ["formats.followed"], "chinese.nats")


def test_at_matched_learning_each_run_meets_the_curve_of_its_seed():
    """At 2.5 nats seed 0 reads (0.1 + 1.1) / 2; seed 1, whose points are 3.1 and 2.0, less."""
    assert matched([at("LoRA", 0, 2.5, 0.7)]).mean == pytest.approx(0.7 - 0.6)
    one = 0.1 + (0.9 - 0.1) * (3.1 - 2.5) / 1.1
    effect = matched([at("LoRA", seed, 2.5, 0.7) for seed in range(2)])
    assert effect.mean == pytest.approx((0.1 + 0.7 - one) / 2)
    assert effect.seeds == 2


def test_a_curve_runs_over_epochs_as_well_as_rates():
    once, often = at("full", 0, 3.0, 0.1, epochs=1), at("full", 0, 2.0, 1.1, epochs=4)
    worse = at("full", 0, 3.0, 2.0, rate=1e-3, epochs=1)
    assert matched([at("LoRA", 0, 2.5, 0.7)], [CURVE[0], once, often, worse]).mean == (
        pytest.approx(0.1)
    )


def test_a_curve_of_one_run_decides_nothing():
    with pytest.raises(OutOfRange, match="has one run a seed; a curve needs two rates"):
        matched(
            [at("LoRA", 0, 2.5, 0.7)],
            [CURVE[0], at("full", 0, 2.0, 1.1, epochs=1), at("full", 0, 3.0, 0.1)],
        )


def test_nothing_is_read_beyond_a_curve():
    with pytest.raises(OutOfRange, match=r"learned 1\.00, the other method's curve spans 2\.00"):
        matched([at("LoRA", 0, 1.0, 0.7)])


def test_a_divergence_is_read_through_its_root():
    """It grows with the square: halfway between 0 and 4 at the ends lies 1, not 2."""

    def drifted(method, where, kl, rate=1e-4):
        text = {"log_likelihood": [-where * 10] * 2, "tokens": [10, 10]}
        return run(method, rate, 0, {"chinese": text, "old": {"forward_kl": [kl, kl]}})

    curve = [
        drifted("untouched", 4.0, 0.0),
        drifted("full", 2.0, 4.0),
        drifted("full", 3.9, 0.01, 3e-5),
    ]
    left = [drifted("LoRA", 2.95, 1.0)]
    effect = matched_effect(left, curve, ["old.forward_kl"], "chinese.nats")
    assert effect.mean == pytest.approx(1.0 - (0.1 * 0.5 + 2.0 * 0.5) ** 2)


def test_where_the_items_leave_the_place_open_the_interval_is_wider():
    """The same means; but which of the two items became likelier differs between the sides."""

    def runs(nats):
        return [a_run("LoRA", 1e-4, seed, [0.7, 0.71], nats=nats) for seed in range(3)]

    narrow, wide = matched(runs((2.5, 2.5))), matched(runs((1.0, 3.0)))
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_every_claim_on_file_names_roles_and_arms_that_exist():
    for stated in (claim for paper in papers.papers() for claim in paper.claims):
        experiment = chapters.experiment(stated.chapter)
        roles = {ask.role for ask in experiment.every_ask()}
        measures = [*stated.measures, *filter(None, (stated.matched_on, stated.line_on))]
        assert {measure.rpartition(".")[0] for measure in measures} <= roles, stated.id
        arms = experiment.arms_of(experiment.base("smoke")).items()
        curves = {getattr(arm, "curve", "") or name for name, arm in arms}
        for side in filter(None, (stated.left, stated.right)):
            assert side.get("method", START) in {START, *curves}, stated.id
        assert stated.tolerance > 0
        assert set(stated.needs) <= experiment.checks.keys(), stated.id


def test_a_value_named_beforehand():
    """Means 1, 2 and 3: the effect is 2, whatever it is compared with."""
    stored = [a_run("full", 1e-4, seed, [seed + 1.0] * 3 + [seed + 1.5]) for seed in range(3)]
    alone = claim(right=None, than=1.5, direction="greater")
    verdict = claims.judge(alone, PAPER, stored)
    assert verdict.effect == pytest.approx(2.125)
    assert verdict.low < 1.6 == verdict.threshold < verdict.high
    assert claims.judge(claim(right=None, than=-9, direction="greater"), PAPER, stored).verdict == (
        "holds"
    )


def test_the_share_of_items_that_stayed_the_same():
    runs = [a_run("untouched", 0.0, 0, [1, 2, 3, 4])]
    runs += [a_run("full", 1e-4, seed, [1, 2, 3, 0]) for seed in range(3)]
    verdict = claims.judge(claim(same=True, than=1.0, direction="less"), PAPER, runs)
    assert verdict.effect == pytest.approx(0.75)
    assert verdict.low < 0.5, "two right and two wrong pseudo-items stand beside these four"


def test_a_line_through_runs():
    stored = [a_run("full", 1e-4, seed, [seed, seed + 1.0]) for seed in range(8)]
    changes = {"left": {}, "right": None, "than": 0.9, "direction": "greater", "tolerance": 0.01}
    verdict = claims.judge(claim(**changes, line_on=claim().measures[0]), PAPER, stored)
    assert (verdict.verdict, verdict.seeds) == ("holds", 8)
    assert verdict.effect == pytest.approx(1)
    few = claims.judge(claim(**changes, line_on=claim().measures[0]), PAPER, stored[:2])
    assert (few.verdict, few.reason) == ("undecided", "2 different trainings: a line needs 3")


def test_epochs_of_one_training_are_one_point_of_a_line():
    """Four trainings read three times each are no twelve: the interval does not shrink."""

    def runs(times):
        values = [0.0, 0.2, 0.3, 1.0]
        return [
            a_run(
                "full",
                1e-4,
                seed,
                [y, y],
                nats=(x, x),
                labels={"epochs": epoch},
                key=f"{seed}{epoch}" * 10,
            )
            for seed, (x, y) in enumerate(zip((0.0, 1.0, 2.0, 3.0), values, strict=True))
            for epoch in range(times)
        ]

    once, thrice = (
        line_effect(runs(times), "chinese.nats", "formats.followed") for times in (1, 3)
    )
    assert (once.items, thrice.items) == (4, 12)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low)
    again = [*runs(1), *runs(1)]  # a System that stands in two arms
    assert line_effect(again, "chinese.nats", "formats.followed") == once


def test_a_correlation_through_runs():
    """Four trainings on a falling line: r is -1, whichever are drawn."""
    stored = [a_run("full", 1e-4, seed, [seed, seed], nats=(-seed, -seed)) for seed in range(4)]
    effect = correlation_effect(stored, "formats.followed", "chinese.nats")
    assert (effect.mean, effect.high) == (pytest.approx(-1), pytest.approx(-1))
    with pytest.raises(OutOfRange, match="0 different trainings"):
        correlation_effect(stored, "formats.followed", "arc.acc")


def test_published_effects_lie_within_their_intervals():
    judged = [verdict for verdict in published.verdicts() if verdict.effect is not None]
    assert len(judged) >= 50 and all(math.isfinite(verdict.effect) for verdict in judged)
    assert all(verdict.low <= verdict.effect <= verdict.high for verdict in judged)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"measure": "formats.followed", "above": 0.1}, ""),
        ({"measure": "formats.followed", "above": 1}, "is 1 [0.586, 1.08], must be above 1"),
        ({"measure": "formats.followed", "of": "full", "below": 0.6}, ""),
        ({"measure": "formats.followed", "of": "full", "against": "start", "below": -0.2}, ""),
        (
            {"measure": "formats.followed", "of": "full", "against": "start", "apart": 2},
            "differs from start by -1 [-1.18, -0.416], must be 2 or more apart",
        ),
        ({"measure": "shown.origins.own", "of": "full", "above": 4}, ""),
        (
            {"measure": "shown.origins.gold", "of": "full", "above": 0},
            "is 0 [0, 0], must be above 0",
        ),
        ({"measure": "formats.followed", "of": "LoRA", "above": -9}, "was not measured"),
        ({"measure": "arc.acc", "above": -9}, "was not measured"),
    ],
)
def test_a_check_says_in_a_line_what_was_not_delivered(check, words):
    """The start has 8 of 8 right, its arm none; pseudo-items keep the intervals from a point."""
    shown = {"origins": {"own": 5}}
    arm = [a_run("full", 1e-4, seed, [0] * 8, shown=shown) for seed in range(3)]
    failure = Check("Was anything lost?", **check).failure([*arm, START_RUN])
    assert failure == (f"Was anything lost? {check['measure']} {words}" if words else "")


def test_no_two_claims_share_a_name():
    """Verdicts, papers and dates go by it."""
    names = [claim.id for paper in papers.papers() for claim in paper.claims]
    assert len(names) == len(set(names))
