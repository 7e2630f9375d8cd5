"""Lines and power laws through runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from forgetting.evidence import laws

FINITE = st.floats(-100, 100).map(lambda x: round(x, 3))


def test_a_line_by_hand():
    """Through (0, 1), (1, 3), (2, 2): slope 1/2, intercept 3/2, a quarter of the variance."""
    assert laws.line([0, 1, 2], [1, 3, 2]) == pytest.approx((0.5, 1.5, 0.25))


@given(st.lists(st.tuples(FINITE, FINITE), min_size=4, max_size=30))
def test_a_line_is_scipys(points):
    x, y = map(list, zip(*points, strict=True))
    if np.ptp(x) < 1 or np.ptp(y) < 1:
        return
    found, theirs = laws.line(x, y), stats.linregress(x, y)
    assert found.slope == pytest.approx(theirs.slope, abs=1e-6, rel=1e-6)
    assert found.r2 == pytest.approx(theirs.rvalue**2, abs=1e-6)


def test_the_interval_holds_the_estimate_and_narrows_with_runs():
    drawn = np.random.default_rng(1)
    x = drawn.normal(size=200)
    y = x + 0.3 * drawn.normal(size=200)

    def interval(x, y):
        return tuple(np.percentile(np.square(laws.correlations(x, y)), [2.5, 97.5]))

    few, many = interval(x[:12], y[:12]), interval(x, y)
    assert few[0] <= laws.line(x[:12], y[:12]).r2 <= few[1]
    assert many[0] <= laws.line(x, y).r2 <= many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert interval(x, y) == many


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="2 different points"):
        laws.line([0, 1], [1, 2])
    with pytest.raises(ValueError, match="1 different points"):
        laws.line([1, 1, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="4 points"):
        laws.power_law([1] * 4, [1] * 4, [1] * 4)


def test_a_power_law_is_found_again():
    p, n = (grid.ravel() for grid in np.meshgrid([1e4, 1e5, 1e6, 1e8], [8, 16, 32]))
    y = 1.5 + 0.01 * p**0.2 * n**0.5
    found = laws.power_law(p, n, y)
    assert found.r2 > 0.999
    assert (found.a, found.b) == pytest.approx((0.2, 0.5), rel=0.1)
    assert found.shift == pytest.approx(1.5, abs=0.05)
