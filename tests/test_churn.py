"""Churn: items gained and lost, agreement, and what chance alone would do."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial
from studies import run
from studies import scores as scores_of

from forgetting.evidence.churn import (
    NotPaired,
    agreement,
    between,
    churn,
    mcnemar,
    paired_interval,
)


def scores(acc, choice=None, **fields):
    return scores_of(acc=acc, **({} if choice is None else {"choice": choice}), **fields)


lists_of_scores = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2)
)


def test_counts_by_hand():
    found = churn(scores([1, 1, 1, 0, 0, 0, 0, 1]), scores([1, 0, 0, 1, 0, 0, 0, 1]))
    assert (found.both, found.lost, found.gained, found.neither) == (2, 2, 1, 3)
    assert found.n == 8 and found.difference == -1 / 8
    assert found.flips == 3 / 8
    assert found.agreement == 5 / 8 and found.churn == 3 / 8 and found.agreement_on == "score"


def test_the_same_accuracy_can_hide_that_every_answer_changed():
    found = churn(scores([1, 1, 0, 0]), scores([0, 0, 1, 1]))
    assert (found.difference, found.flips, found.agreement) == (0, 1, 0)
    assert found.p_value == 1  # a test of the accuracies sees nothing


def test_choices_tell_wrong_answers_apart_where_scores_cannot():
    right = [1, 0, 0, 0]
    by_choice = churn(scores(right, choice=[2, 1, 3, 0]), scores(right, choice=[2, 3, 3, 1]))
    assert (by_choice.agreement_on, by_choice.agreement, by_choice.flips) == ("choice", 0.5, 0)
    one_sided = churn(scores(right, choice=[2, 1, 3, 0]), scores(right))
    assert (one_sided.agreement_on, one_sided.agreement) == ("score", 1)


def test_the_stored_option_is_that_of_plain_accuracy_alone():
    """By length another option may win, and which one is not kept: right or wrong is compared."""
    before, after = (
        scores_of(acc=[1, 0], acc_norm=[0, 1], choice=choice) for choice in ((0, 1), (2, 3))
    )
    plain, by_length = churn(before, after), churn(before, after, "acc_norm")
    assert (plain.agreement_on, plain.agreement) == ("choice", 0)
    assert (by_length.agreement_on, by_length.agreement) == ("score", 1)


def test_generations_agree_only_character_by_character():
    before = ["Paris", "I cannot help.", "台北", "café", ""]
    after = ["Paris ", "I cannot help.", "台北", "cafe\u0301", ""]  # é in two code points
    found = churn(scores([1] * 5), scores([1] * 5), answers=(before, after))
    assert (found.agreement_on, found.agreement) == ("answers", 3 / 5)


def test_choices_come_before_answers():
    found = churn(scores([1], choice=[0]), scores([1], choice=[0]), answers=(["a"], ["b"]))
    assert (found.agreement_on, found.agreement) == ("choice", 1)


@given(lists_of_scores)
def test_counts_add_up_and_turning_round_swaps_gained_and_lost(pair):
    before, after = (scores(values) for values in pair)
    found, back = churn(before, after), churn(after, before)
    assert found.both + found.lost + found.gained + found.neither == found.n
    assert (found.gained, found.lost) == (back.lost, back.gained)
    assert found.difference == pytest.approx(after.mean("acc") - before.mean("acc"))
    assert found.agreement == pytest.approx(1 - found.flips)
    assert abs(found.difference) <= found.flips + 1e-12
    assert found.p_value == pytest.approx(back.p_value)
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))
    assert -1 <= found.low < found.high <= 1


@given(lists_of_scores, st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(pair, random):
    items = list(zip(*pair, strict=True))
    random.shuffle(items)
    shuffled = [scores(side) for side in zip(*items, strict=True)]
    assert churn(*shuffled) == churn(*(scores(values) for values in pair))
    itself = churn(shuffled[0], shuffled[0])
    assert (itself.flips, itself.churn, itself.p_value) == (0, 0, 1)
    assert itself.low < 0 < itself.high


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (5, 5, 1.0),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
    ],
)
def test_p_values_by_hand(gained, lost, p):
    assert mcnemar(gained, lost) == pytest.approx(p)


@given(st.integers(0, 60), st.integers(0, 60))
def test_p_is_the_share_of_coin_tosses_that_are_as_uneven(gained, lost):
    changed = gained + lost
    uneven = abs(2 * gained - changed)
    as_uneven = sum(
        math.comb(changed, k) for k in range(changed + 1) if abs(2 * k - changed) >= uneven
    )
    assert mcnemar(gained, lost) == pytest.approx(as_uneven / 2**changed)


def test_the_interval_by_hand():
    """n = 8, one gained, two lost: m = 10, centre -1/10, √(3 + 1 - 1/10)/10 wide each side."""
    half = 1.959964 * math.sqrt(3.9) / 10
    assert paired_interval(1, 2, 8) == pytest.approx((-0.1 - half, -0.1 + half), abs=1e-6)


def test_few_items_prove_little():
    low, high = paired_interval(0, 0, 12)
    assert -low == high == pytest.approx(1.959964 / 14, abs=1e-6)


@pytest.mark.parametrize("n", [12, 30])
@pytest.mark.parametrize(("lost", "gained"), [(0.05, 0.05), (0.2, 0.2), (0.3, 0.05), (0.5, 0.0)])
def test_the_interval_covers_the_truth_about_95_times_in_100(n, lost, gained):
    """Exactly: over every outcome of n items with these chances of being lost and gained."""
    outcomes = [(g, k) for g, k in product(range(n + 1), repeat=2) if g + k <= n]
    law = multinomial(n, [gained, lost, 1 - gained - lost])
    covered = 0.0
    for g, k in outcomes:
        low, high = paired_interval(g, k, n)
        if low <= gained - lost <= high:
            covered += law.pmf([g, k, n - g - k])
    assert covered > 0.92  # 0.924 where nothing is ever gained among 12, else 0.94 and more


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="gained=5, lost=6: must be counts among n=10 items"):
        paired_interval(5, 6, 10)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"task": "exam"}, "task: 'quiz' before, 'exam' after"),
        ({"version": 2.0}, "version: 1.0 before, 2.0 after"),
        ({"templates": "ffff"}, "templates: 'abcd' before, 'ffff' after"),
        ({"acc": [1, 0, 1]}, "n: 2 before, 3 after"),
    ],
)
def test_scores_of_other_items_are_one_clear_line(other, message):
    with pytest.raises(NotPaired) as caught:
        churn(scores([1, 0]), scores(**{"acc": [1, 0]} | other))
    assert str(caught.value) == (
        f"{message}; churn compares the same items, so measure both on one version of quiz"
    )


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (
            lambda: churn(*[scores([1, 0])] * 2, answers=(["a"], ["a", "b"])),
            "answers: 1 and 2 texts for 2 items of quiz",
        ),
        (lambda: agreement([], []), "0 and 0 answers: must be as many, at least one"),
    ],
)
def test_what_cannot_be_paired_is_refused(compare, message):
    with pytest.raises(NotPaired, match=f"^{message}"):
        compare()


@pytest.mark.parametrize("value", [0.5, -1.0])
def test_a_metric_that_is_not_0_or_1_has_no_gained_and_lost(value):
    with pytest.raises(ValueError, match=r"metric='acc': item 1 scores .*; gained and lost need 0"):
        churn(scores([1, 0]), scores([1, value]))


def test_an_unknown_metric_lists_the_known_ones():
    with pytest.raises(ValueError, match="metric='f1': quiz has acc, choice; name one of them"):
        churn(scores([1], choice=[0]), scores([1], choice=[0]), metric="f1")


def quizzed(acc, answers=(), prompts=("1?", "2?"), **fields):
    """A run that was asked a quiz of two questions, and something else."""
    pairs = list(zip(prompts, answers, strict=False))
    asked = {"quiz": scores(acc, **fields), "elsewhere": {"acc": [1]}}
    return run(asked=asked, answers={"quiz": pairs, "elsewhere": [("?", "!")]})


def test_runs_bring_their_answers():
    before, after = quizzed([1, 0], ["Paris", "Rome"]), quizzed([1, 1], ["Paris", "Oslo"])
    found = between(before, after, "quiz")
    assert (found.gained, found.lost) == (1, 0)
    assert (found.agreement_on, found.agreement) == ("answers", 0.5)
    assert between(before, quizzed([1, 1]), "quiz").agreement_on == "score"


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (quizzed([1, 0], "ab", prompts=("1?", "other")), "role='quiz': the two runs had other"),
        (quizzed([1, 0], "ab", task="exam"), "task: 'quiz' before, 'exam' after"),
        (
            run(asked={"exam": {"acc": [1]}}, key="b" * 20),
            r"role='quiz': after \(b{20}\) was asked exam; ask both",
        ),
    ],
)
def test_runs_of_other_prompts_or_tasks_are_refused(after, message):
    with pytest.raises(NotPaired, match=message):
        between(quizzed([1, 0], ["a", "b"]), after, "quiz")


def test_a_runs_answers_must_be_one_an_item():
    half = [quizzed([1, 0], ["a"]) for _ in range(2)]
    with pytest.raises(NotPaired, match="answers: 1 and 1 texts for 2 items of quiz"):
        between(*half, "quiz")
