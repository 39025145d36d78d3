"""Figures made of samples."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from turns import make_turn

from edgecompress.measure.statistics import (
    STUDENT,
    _thin,
    drift,
    outliers,
    quantile_intervals,
    ratio_interval,
    variation,
)

MS = st.floats(min_value=0.1, max_value=10)
SAMPLES = st.lists(MS, min_size=1, max_size=60)
PAIRS = st.lists(st.tuples(MS, MS), min_size=2, max_size=12)


@given(PAIRS, st.floats(min_value=0.01, max_value=100))
def test_interval_of_a_ratio_goes_with_the_ratio(pairs, factor):
    """Another unit of either side changes nothing but the unit."""
    before, after = map(list, zip(*pairs, strict=True))
    low, high = ratio_interval(before, after)
    assert 0 < low <= high
    assume(low > 1e-4 and high < 1e4)
    scaled = ratio_interval([ms * factor for ms in before], after)
    assert scaled == pytest.approx((low * factor, high * factor), rel=1e-6)


@given(PAIRS)
def test_interval_of_the_inverse_is_the_inverse(pairs):
    before, after = map(list, zip(*pairs, strict=True))
    low, high = ratio_interval(before, after)
    assert ratio_interval(after, before) == pytest.approx((1 / high, 1 / low), rel=1e-6)


@given(SAMPLES)
def test_a_file_against_itself_is_as_fast(samples):
    low, high = ratio_interval(samples, samples)
    assert low <= 1 <= high


def test_of_one_pair_nothing_is_known():
    low, high = ratio_interval([2.0], [1.0])
    assert (low, math.isfinite(high)) == (0.0, True)
    assert high >= 1e6


@pytest.mark.parametrize("turns", [3, 4, 5, 8])
def test_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says(turns):
    """2,000 comparisons with 3 % of difference from turn to turn; 98.3 % give or take 3 sigma."""
    generator = np.random.default_rng(turns)
    held = 0
    for _ in range(2000):
        before, after = np.exp(generator.normal(0.0, 0.03, (2, turns)))
        low, high = ratio_interval(before * 1.3, after)
        held += low <= 1.3 <= high
    assert 0.974 < held / 2000 < 0.992


def test_five_percent_are_found_by_five_turns_that_scatter_little():
    """2,000 comparisons of a file with one that takes 5 % more; docs/measurement.md says so."""
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(2000):
        ratios = np.exp(generator.normal(np.log(1.05), 0.015, 5))
        low, _ = ratio_interval(ratios, np.ones(5))
        found += low > 1
    assert found / 2000 > 0.95


def test_a_file_is_rarely_called_different_from_itself():
    """2,000 seeded comparisons: at most 5 % were asked for, and 1.7 % is what it promises."""
    generator = np.random.default_rng(0)
    different = 0
    for _ in range(2000):
        low, high = ratio_interval(*np.exp(generator.normal(0.0, 0.02, (2, 5))))
        different += not low <= 1 <= high
    assert different / 2000 < 0.03


def test_points_of_student_fall():
    assert list(STUDENT) == sorted(STUDENT, reverse=True)
    assert len(STUDENT) == 30


@settings(deadline=None, max_examples=30)
@given(st.lists(SAMPLES, min_size=1, max_size=4))
def test_percentiles_lie_within_their_intervals_and_in_order(turns):
    found = quantile_intervals([make_turn(samples) for samples in turns])
    everything = [ms for samples in turns for ms in samples]
    assert [each.percent for each in found] == [50, 90, 95, 99]
    for each in found:
        assert each.low_ms <= each.latency_ms <= each.high_ms
        assert each.low_ms >= min(everything) - 1e-9
        assert each.high_ms <= max(everything) + 1e-9
    assert np.all(np.diff([each.latency_ms for each in found]) > -1e-9)


def test_intervals_are_wide_where_turns_differ():
    generator = np.random.default_rng(0)
    alike = [make_turn(1 + 0.01 * generator.random(900)) for _ in range(5)]
    unlike = [make_turn(ms + 0.01 * generator.random(900)) for ms in (1.0, 1.2, 1.4, 1.1, 1.3)]
    narrow, wide = (quantile_intervals(turns)[0] for turns in (alike, unlike))
    assert narrow.high_ms - narrow.low_ms < 0.01
    assert wide.high_ms - wide.low_ms > 0.1
    assert quantile_intervals(unlike) == quantile_intervals(unlike)


@given(SAMPLES, st.floats(min_value=0.01, max_value=100))
def test_drift_and_variation_know_no_unit(samples, factor):
    scaled = [ms * factor for ms in samples]
    assert drift(scaled) == pytest.approx(drift(samples), abs=1e-6)
    if len(samples) > 1:
        assert variation(scaled) == pytest.approx(variation(samples), rel=1e-6, abs=1e-9)
    else:
        assert variation(scaled) is None


def test_outliers_are_counted():
    steady = [1.0 + 0.001 * (at % 7) for at in range(100)]
    assert outliers(steady) == 0
    assert outliers([*steady, 9.0, 1.5, 1.02]) == 2
    assert outliers([]) == 0


def test_a_coarse_clock_makes_no_outliers():
    """All equal but one, which is a step of the clock more."""
    assert outliers([1.0] * 99 + [1.02]) == 0


def test_drift_is_from_third_to_third():
    assert drift([1.0, 1.0, 3.0, 3.0, *[9.0] * 4, *[4.0] * 4]) == 1.0


@pytest.mark.parametrize(("samples", "kept"), [(1, 1), (500, 500), (501, 251), (1001, 334)])
def test_samples_are_thinned_evenly(samples, kept):
    found = _thin(tuple(range(samples)))
    assert found.size == kept
    assert found[0] == 0
    assert set(np.diff(found)) <= {-(-samples // 500)}
