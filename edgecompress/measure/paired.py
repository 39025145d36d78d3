"""Intervals of the difference between two files on the same samples: numbers in, numbers out.

All are two-sided with 90 % confidence unless `tail`, the error of either end, is given. They take
the samples as drawn independently; frames of one video are not.
"""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

TAIL = 0.05
RESAMPLES = 2000
_AT_ONCE = 1 << 20
"""How many numbers a bootstrap draws at a time."""

Floats = NDArray[np.float64]


def proportions(worse: int, better: int, samples: int, tail: float = TAIL) -> tuple[float, float]:
    """Interval of (worse - better) / samples, of paired counts.

    Args:
        worse: samples that only the first file answers rightly.
        better: those that only the second does.
        samples: all, more than 0.
        tail: error of either end.

    The limits of both proportions by the mid-p method, joined by the method of variance estimates
    recovery with the correlation of two cells of one multinomial (Newcombe, Stat. Med. 17, 1998;
    Zou and Donner, Stat. Med. 27, 2008). Where nothing differs, it ends at +-ln(1 / (2 tail)) / N,
    the mid-p form of the rule of three.

    """
    first, second = worse / samples, better / samples
    low_1, high_1 = _limits(worse, samples, tail)
    low_2, high_2 = _limits(better, samples, tail)
    odds = first * second
    # Cells of a multinomial are correlated by minus this; both at 1/2 leave nothing else.
    correlation = math.sqrt(odds / ((1 - first) * (1 - second))) if odds else 0.0
    drop = first - second
    above = _joined(high_1 - first, second - low_2, correlation)
    below = _joined(first - low_1, high_2 - second, correlation)
    return max(drop - below, -1.0), min(drop + above, 1.0)


def _joined(first: float, second: float, correlation: float) -> float:
    return math.sqrt(first**2 + second**2 + 2 * correlation * first * second)


def mcnemar(worse: int, better: int) -> float:
    """McNemar's test, two-sided, mid-p (Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 13,
    2013): 1 where nothing differs.
    """
    differing, fewer = worse + better, min(worse, better)
    if worse == better:
        # The exact sum counts the middle twice.
        return 1.0
    tail = _below(fewer, differing, 0.5) - 0.5 * _exactly(fewer, differing, 0.5)
    return min(2 * tail, 1.0)


@lru_cache(maxsize=4096)
def _limits(count: int, samples: int, tail: float) -> tuple[float, float]:
    """Mid-p limits of a proportion (Lancaster, JASA 56, 1961)."""
    low = 0.0 if count == 0 else _solved(count, samples, 1 - tail)
    high = 1.0 if count == samples else _solved(count, samples, tail)
    return low, high


def _solved(count: int, samples: int, chance: float) -> float:
    """The proportion p with P(X < count) + P(X = count) / 2 = chance; the sum falls with p."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = _below(count, samples, middle) - 0.5 * _exactly(count, samples, middle)
        low, high = (middle, high) if below > chance else (low, middle)
    return (low + high) / 2


def _below(count: int, samples: int, share: float) -> float:
    """P(X <= count) of a binomial, by the tail that is away from its mean: its terms fall."""
    reach = 64 + int(12 * math.sqrt(samples))
    odds = math.log(share) - math.log1p(-share)
    if count <= samples * share:
        steps = np.arange(count, max(count - reach, 0), -1, dtype=np.float64)
        ratios = np.log(steps) - np.log(samples - steps + 1) - odds
        return _summed(_log_exactly(count, samples, share), ratios)
    if count >= samples:
        return 1.0
    steps = np.arange(count + 1, min(count + reach, samples), dtype=np.float64)
    ratios = np.log(samples - steps) - np.log(steps + 1) + odds
    return 1.0 - _summed(_log_exactly(count + 1, samples, share), ratios)


def _summed(log_first: float, log_ratios: Floats) -> float:
    """A term, and those after it by their ratio to the one before."""
    return float(np.exp(log_first + np.concatenate([[0.0], np.cumsum(log_ratios)])).sum())


def _exactly(count: int, samples: int, share: float) -> float:
    return math.exp(_log_exactly(count, samples, share))


def _log_exactly(count: int, samples: int, share: float) -> float:
    ways = math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1)
    return ways + count * math.log(share) + (samples - count) * math.log1p(-share)


def bootstrap(
    differences: Floats, weights: Floats, seed: int, tail: float = TAIL
) -> tuple[float, float, float]:
    """Interval of a weighted mean, and its standard error.

    Args:
        differences: one per unit (a sample, or a few of them), the second file's loss.
        weights: how many samples each unit has.
        seed: of the resampling.
        tail: error of either end.

    The bias-corrected and accelerated bootstrap (BCa; Efron, JASA 82, 1987), because losses are
    skewed where a few samples suffer most, with percentiles that are moved out by what a t interval
    has over a normal one, because those of few samples are too narrow (Hesterberg, Am. Stat. 69,
    2015).

    """
    units = len(differences)
    if units < 2:
        raise ValueError("one unit has no interval")
    generator, found = np.random.default_rng(seed), []
    products = differences * weights
    at_once = max(1, _AT_ONCE // units)
    for start in range(0, RESAMPLES, at_once):
        drawn = generator.integers(0, units, (min(at_once, RESAMPLES - start), units))
        found.append(products[drawn].sum(axis=1) / weights[drawn].sum(axis=1))
    means = np.concatenate(found)
    reach = math.sqrt(units / (units - 1)) * student(tail, units - 1)
    mean = float(np.average(differences, weights=weights))
    below = float((means < mean).mean() + 0.5 * (means == mean).mean())
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 0.5 / RESAMPLES), 1 - 0.5 / RESAMPLES))
    pulls = weights * (differences - mean)
    size = float((pulls**2).sum())
    acceleration = float((pulls**3).sum()) / (6 * size**1.5) if size > 0 else 0.0
    ends = (bias + z for z in (-reach, reach))
    shares = [normal.cdf(bias + end / max(1 - acceleration * end, 0.1)) for end in ends]
    low, high = np.quantile(means, shares)
    return float(low), float(high), float(means.std() * math.sqrt(units / (units - 1)))


def jackknife(drop: float, left_out: Floats, tail: float = TAIL) -> tuple[float, float, float]:
    """Interval of any smooth statistic, and its standard error, from its values without each of G
    groups of samples (the delete-a-group jackknife; Shao and Tu, The Jackknife and Bootstrap,
    1995).
    """
    groups = len(left_out)
    spread = (groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum())
    error = math.sqrt(spread)
    reach = student(tail, groups - 1) * error
    return drop - reach, drop + reach, error


def student(tail: float, freedom: int) -> float:
    """Quantile of Student's t at 1 - tail, to a few thousandths from 4 degrees on: the
    Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5).
    """
    z = -NormalDist().inv_cdf(tail)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))
