"""Intervals of paired differences: what they promise, by simulation, and by figures of others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.measure.paired import bootstrap, jackknife, mcnemar, proportions, student

STUDIES = 1500


@pytest.mark.parametrize(
    ("samples", "worse", "better"),
    [
        (100, 5.0, 2.5),
        (500, 2.5, 0.0),
        (500, 0.0, 2.5),
        (500, 5.0, 5.0),
        (500, 20.0, 10.0),
        (5000, 25.0, 0.0),
        (5000, 60.0, 35.0),
        (20, 6.0, 6.0),
    ],
)
def test_either_end_is_wrong_in_one_case_of_20(samples: int, worse: float, better: float) -> None:
    shares = [worse / samples, better / samples]
    generator = np.random.default_rng(samples)
    drawn = generator.multinomial(samples, [*shares, 1 - sum(shares)], STUDIES)
    ends = [proportions(int(first), int(second), samples) for first, second, _ in drawn]
    truth = shares[0] - shares[1]
    too_high = np.mean([low > truth for low, _ in ends])
    too_low = np.mean([high < truth for _, high in ends])
    # Counts are whole: where few are to be seen, mid-p limits err in up to 1/12 on one side.
    most = 0.09 if min(worse, better) == 0 else 0.07
    assert too_high <= most
    assert too_low <= most
    assert too_high + too_low <= 0.125


@pytest.mark.parametrize(("worse", "samples"), [(0, 500), (5, 500), (60, 100), (100, 100)])
def test_where_only_one_file_loses_the_end_is_that_of_a_proportion(
    worse: int, samples: int
) -> None:
    _, high = proportions(worse, 0, samples)
    assert high == pytest.approx(_mid_p_high(worse, samples), rel=1e-9)
    assert proportions(0, 0, 500)[1] == pytest.approx(math.log(10) / 500, rel=3e-3)


def _mid_p_high(count: int, samples: int) -> float:
    """The same by plain summing, on a grid that is halved."""
    low, high = 0.0, 1.0
    for _ in range(50 if count < samples else 0):
        middle = (low + high) / 2
        terms = [
            math.comb(samples, k) * middle**k * (1 - middle) ** (samples - k)
            for k in range(count + 1)
        ]
        low, high = (middle, high) if sum(terms) - terms[-1] / 2 > 0.05 else (low, middle)
    return (low + high) / 2 if count < samples else 1.0


@settings(deadline=None)
@given(st.integers(1, 3000), st.data())
def test_an_interval_holds_what_was_seen_and_turns_round_with_it(
    samples: int, data: st.DataObject
) -> None:
    worse = data.draw(st.integers(0, samples))
    better = data.draw(st.integers(0, samples - worse))
    low, high = proportions(worse, better, samples)
    assert -1 <= low <= (worse - better) / samples <= high <= 1
    assert proportions(better, worse, samples) == pytest.approx((-high, -low), abs=1e-12)


def test_large_counts_take_no_time_and_meet_the_normal_approximation() -> None:
    samples, worse, better = 1_000_000, 100_000, 90_000
    low, high = proportions(worse, better, samples)
    drop = (worse - better) / samples
    reach = 1.644854 * math.sqrt((worse + better) / samples - drop**2) / math.sqrt(samples)
    assert (low, high) == pytest.approx((drop - reach, drop + reach), rel=2e-3)


@pytest.mark.parametrize(
    ("worse", "better", "p"),
    # Twice the binomial's tail at 1/2, less half of what was seen, twice.
    [(0, 0, 1.0), (4, 4, 1.0), (0, 5, 2 / 64), (5, 0, 2 / 64), (1, 6, 2 * (1 + 7 / 2) / 128)],
)
def test_mcnemar_mid_p(worse: int, better: int, p: float) -> None:
    assert mcnemar(worse, better) == pytest.approx(p)


@pytest.mark.parametrize("units", [25, 100, 400])
def test_a_bootstrap_errs_as_seldom(units: int) -> None:
    generator = np.random.default_rng(units)
    ends = []
    for _ in range(150):
        first, second = generator.normal(0, 1, (2, units))
        # Squared errors, of which the second's are greater.
        differences = (second + 0.2) ** 2 - first**2
        ends.append(bootstrap(differences, np.ones(units), 0)[:2])
    truth = 0.04
    assert np.mean([low > truth for low, _ in ends]) < 0.095
    assert np.mean([high < truth for _, high in ends]) < 0.095


def test_a_bootstrap_knows_of_skew() -> None:
    generator = np.random.default_rng(4)
    ends = [
        bootstrap(generator.lognormal(size=300) - math.exp(0.5), np.ones(300), 0)[:2]
        for _ in range(200)
    ]
    # Plain percentiles miss a mean that rare samples make, in a tenth of all studies.
    assert np.mean([high < 0 for _, high in ends]) < 0.09
    assert np.mean([low > 0 for low, _ in ends]) < 0.09


def test_a_bootstrap_weighs_its_units_and_repeats() -> None:
    differences, weights = np.array([0.0, 1.0, 0.0, 1.0] * 25), np.array([3.0, 1.0] * 50)
    found = bootstrap(differences, weights, 7)
    assert found == bootstrap(differences, weights, 7)
    assert found[0] < 0.25 < found[1]


def test_a_jackknife_errs_as_seldom_for_a_root_of_means() -> None:
    generator = np.random.default_rng(3)
    misses = 0
    for _ in range(500):
        errors = generator.normal(0, 1, 200)
        groups = np.arange(200) % 20
        left_out = np.array([np.sqrt((errors[groups != g] ** 2).mean()) for g in range(20)])
        low, high, _ = jackknife(float(np.sqrt((errors**2).mean())), left_out)
        misses += not low <= 1 <= high
    assert misses / 500 < 0.13


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(4, 2.1318), (9, 1.8331), (19, 1.7291), (99, 1.6604)]
)
def test_quantiles_of_student(freedom: int, quantile: float) -> None:
    assert student(0.05, freedom) == pytest.approx(quantile, rel=2e-3)
