"""Intervals: against textbook formulas, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from forgetting.evidence import churn
from forgetting.evidence.coverage import KINDS, coverage
from forgetting.evidence.intervals import Effect, Part, interval


def test_one_seed_gives_the_paired_t_interval_over_items():
    """Of items without skewness, so that nothing is transformed."""
    differences = np.array([[0.0, -1.0, -2.0, 0.0, -2.0]])
    effect = interval(differences)
    low, high = stats.ttest_1samp(differences[0], 0).confidence_interval(0.95)
    assert (effect.low, effect.high) == (pytest.approx(low), pytest.approx(high))
    assert effect.p(0.0) == pytest.approx(stats.ttest_1samp(differences[0], 0).pvalue)


def test_seeds_and_items_each_have_their_own_t():
    """Rows 1, 3, 5 beside columns -1, 1: variances of the means 4/3 and 2/2, t of 2 and 1."""
    differences = np.array([[1.0], [3.0], [5.0]]) + np.array([[-1.0, 1.0]])
    effect = interval(differences)
    half = math.hypot(4.3027 * math.sqrt(4 / 3), 12.7062 * 1.0)
    assert (effect.mean, effect.high - 3, 3 - effect.low) == pytest.approx(
        (3, half, half), rel=1e-4
    )


def test_items_that_all_agree_decide_nothing():
    constant = np.full((3, 20), 0.1)
    assert interval(constant).high == math.inf
    assert interval(constant).p(0.0) == 1.0
    assert interval(constant).detectable == math.inf


@pytest.mark.parametrize(("gained", "lost", "same"), [(0, 0, 32), (3, 0, 29), (5, 9, 10)])
def test_right_and_wrong_items_have_the_pseudo_items_of_churn(gained, lost, same):
    """The same interval as `churn.paired_interval`, but for Student's t and n - 1."""
    n = gained + lost + same
    differences = np.array([[1.0] * gained + [-1.0] * lost + [0.0] * same])
    effect = interval(differences, binary="difference")
    low, high = churn.paired_interval(gained, lost, n)
    stretch = stats.t.ppf(0.975, n + 1) / stats.norm.ppf(0.975) * math.sqrt((n + 2) / (n + 1))
    middle = (low + high) / 2
    assert effect.low == pytest.approx(middle - (middle - low) * stretch)
    assert effect.high == pytest.approx(middle + (high - middle) * stretch)


def test_a_share_of_one_has_a_width():
    """32 of 32: two right and two wrong ones beside them make it 34 of 36."""
    effect = interval(np.ones((1, 32)), binary="share")
    assert (effect.mean, effect.centre) == (1.0, pytest.approx(34 / 36))
    assert 0.8 < effect.low < 0.9 and effect.high > 1


def test_blocks_count_as_one():
    """Every item twice is no new knowledge."""
    once = interval(np.array([[1.0, 3.0, 2.0]]))
    twice = interval(
        np.array([[1.0, 1.0, 3.0, 3.0, 2.0, 2.0]]), blocks=np.array([0, 0, 1, 1, 2, 2])
    )
    assert (twice.low, twice.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_skewed_items_get_a_longer_arm_on_their_long_side():
    items = np.array([[0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 2.0, 0.1]])
    effect, mirrored = interval(items), interval(-items)
    assert effect.high - effect.mean > 1.5 * (effect.mean - effect.low)
    assert (mirrored.low, mirrored.high) == (
        pytest.approx(-effect.high),
        pytest.approx(-effect.low),
    )


@settings(max_examples=40)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=3, max_size=12).filter(lambda x: np.ptp(x) > 0.1),
    st.floats(-3, 3),
    st.floats(0.1, 9),
)
def test_intervals_move_and_stretch_with_their_items(items, shift, scale):
    differences = np.array([items, items[::-1]])
    effect, moved = interval(differences), interval(differences * scale + shift)
    assert moved.low == pytest.approx(effect.low * scale + shift, abs=1e-6, rel=1e-6)
    assert moved.high == pytest.approx(effect.high * scale + shift, abs=1e-6, rel=1e-6)


@settings(max_examples=40)
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(2, 40))
def test_p_is_one_minus_the_level_that_just_reaches_a_value(skew, variance, freedom):
    parts = (Part("items", 0.1 + variance, freedom, skew), Part("seeds", variance, 2))
    effect = Effect(mean=0, items=3, seeds=3, parts=parts)
    low, high = effect.bounds(0.9)
    assert effect.p(low) == pytest.approx(0.1, abs=1e-6)
    assert effect.p(high) == pytest.approx(0.1, abs=1e-6)


def test_what_could_have_been_found():
    """Of a t test with 9 items: (t of 97.5 % + t of 80 %) standard errors."""
    effect = Effect(mean=0, items=9, seeds=1, parts=(Part("items", 4.0, 8),))
    assert effect.detectable == pytest.approx(2 * (2.3060 + 0.8889), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_covers_what_it_says(kind):
    """Or more, where right and wrong items stand in few groups and pseudo-items beside them."""
    assert 0.93 <= coverage(KINDS[kind], draws=1500) <= (0.97 if kind != "streamed" else 1)


def test_pseudo_items_count_as_much_of_a_group_as_its_items_do():
    """Groups of two: unlike ones count half each, like ones whole, as where nothing varies."""
    blocks = np.repeat(range(4), 2)
    unlike = np.array([[1.0, 0.0] * 4])
    effect = interval(unlike, blocks=blocks, binary="share")
    assert effect.centre == 0.5
    # four groups of 1/2, and 1 and 0 with weights 2 · 1/2: variance 2 · 1/4 / 6 over 6 - 1
    assert effect.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 5) * math.sqrt(0.5 / 6 / 5))
    like = np.repeat([[1.0, 0.0, 1.0, 0.0]], 2, axis=1)
    groups = interval(np.array([[1.0, 0.0, 1.0, 0.0]]), binary="share")
    assert interval(like, blocks=blocks, binary="share").high == pytest.approx(groups.high)
    still = interval(np.zeros((1, 8)), blocks=blocks, binary="share")
    assert still.high == pytest.approx(interval(np.zeros((1, 4)), binary="share").high)
