"""Figures made of samples; all random numbers have fixed seeds."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgecompress.spec.measurement import Turn
from edgecompress.spec.validity import QuantileInterval

RESAMPLES = 400
CONFIDENCE_PERCENT = 95
SAMPLES_PER_TURN = 500
"""At most so many enter the bootstrap; thinning widens the interval, never narrows it."""
PERCENTS = (50.0, 90.0, 95.0, 99.0)
PARTS = 10
"""Into so many a lone turn is cut."""
FAR_OUT = 3.0
"""Distances of the quartiles, after Tukey's outer fences (1977)."""
UNKNOWN_HIGH = 1e6
"""The upper end of an interval of which nothing is known."""
STUDENT = (
    *(38.188, 7.649, 4.857, 3.961, 3.534, 3.287, 3.128, 3.016, 2.933, 2.870),
    *(2.820, 2.779, 2.746, 2.718, 2.694, 2.673, 2.655, 2.639, 2.625, 2.613),
    *(2.601, 2.591, 2.582, 2.574, 2.566, 2.559, 2.552, 2.546, 2.541, 2.536),
)
"""Student's points of 1 - 0.05 / 6, of 1 degree of freedom and more; beyond 30 the last is a little
wide. A verdict holds up to three ratios against 1: to the original, to the best float file and to
what shipped last. So these intervals hold all three in 95 % of runs (Bonferroni), each in 98.3 %.
"""

Values = NDArray[np.float64]


def ratio_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Interval of before / after from pairs of positive figures, by Student's t on the logs; 95 %
    for the ratios of a verdict together, see STUDENT.

    A pair shares what its moment had in common. The percentile bootstrap, which promises less of
    so few pairs than it should (of four it holds 80 % of the time), is not for this.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} figures against {len(after)}")
    logs = np.log(np.asarray(before)) - np.log(np.asarray(after))
    if logs.size < 2:
        return 0.0, UNKNOWN_HIGH
    freedom = min(logs.size - 1, len(STUDENT))
    half = STUDENT[freedom - 1] * float(np.std(logs, ddof=1)) / math.sqrt(logs.size)
    middle, widest = float(np.mean(logs)), math.log(UNKNOWN_HIGH)
    return math.exp(max(middle - half, -widest)), math.exp(min(middle + half, widest))


def ratios(
    before: Sequence[Turn], after: Sequence[Turn], *, throughput: bool = False
) -> list[float]:
    """How many times as long each turn of `before` took as that of `after` next to it.

    A pair shares what its moment had in common. Of a lone pair, the ratios of ten parts of it.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} turns against {len(after)}")
    if len(before) > 1:
        return [
            turn_ratio(one, other, throughput=throughput)
            for one, other in zip(before, after, strict=True)
        ]
    found = _burst_ratios(before[0], after[0])
    if found is not None:
        parts = np.array_split(found, min(PARTS, len(found)))
        return [float(np.exp(np.median(part))) for part in parts]
    pair = zip(_parts_ms(before[0]), _parts_ms(after[0]), strict=False)
    return [one / other for one, other in pair]


def turn_ratio(before: Turn, after: Turn, *, throughput: bool = False) -> float:
    """How many times as long `before` took. Of bursts the median of their own ratios: what changes
    while they run is in both of a pair.
    """
    found = None if throughput else _burst_ratios(before, after)
    if found is not None:
        return float(np.exp(np.median(found)))
    return cost_ms(before, throughput=throughput) / cost_ms(after, throughput=throughput)


def costs_of_round(turns: Mapping[str, Turn]) -> dict[str, float]:
    """What each file's turn says of one sample, in ms, against those that ran side by side with it.

    The level is that of the round, and each file lies above or below it as it does in the median of
    the bursts: the moments are then the same for all.
    """
    bursts = [turn.bursts_ms for turn in turns.values() if turn.bursts_ms]
    if len(bursts) < len(turns) or len({len(each) for each in bursts}) != 1:
        return {name: cost_ms(turn) for name, turn in turns.items()}
    logs = np.log(bursts)
    levels = logs.mean(axis=0)
    costs = np.exp(np.median(levels) + np.median(logs - levels, axis=1))
    return dict(zip(turns, costs.tolist(), strict=True))


def _burst_ratios(before: Turn, after: Turn) -> Values | None:
    """Logarithms of the ratios of bursts next to each other; None: they ran alone."""
    first, second = before.bursts_ms, after.bursts_ms
    if not first or not second or len(first) != len(second):
        return None
    return np.asarray(np.log(first) - np.log(second))


def cost_ms(turn: Turn, *, throughput: bool = False) -> float:
    """What a turn says of one sample: its median latency, or by how many there are in a second."""
    if throughput and turn.samples_per_s is not None:
        return 1000 / turn.samples_per_s
    return float(np.median(turn.central_ms))


def _parts_ms(turn: Turn) -> list[float]:
    """Medians of ten parts in order, of a turn that must stand alone: neighbours are alike, so that
    samples by themselves would promise too much.
    """
    parts = np.array_split(np.asarray(turn.central_ms), min(PARTS, len(turn.central_ms)))
    return [float(np.median(part)) for part in parts]


def quantile_intervals(turns: Sequence[Turn]) -> tuple[QuantileInterval, ...]:
    """Percentiles of all samples, with 95 % percentile bootstrap intervals.

    Turns are resampled first and their samples second (Davison & Hinkley, 1997, section 3.8):
    samples of one turn share its luck. None where a turn has no samples.
    """
    if not all(turn.latency_ms for turn in turns):
        return ()
    everything = np.concatenate([np.asarray(turn.latency_ms) for turn in turns])
    values = np.percentile(everything, PERCENTS)
    generator = np.random.default_rng(0)
    thinned = [_thin(turn.latency_ms) for turn in turns]
    found = np.empty((RESAMPLES, len(PERCENTS)))
    for row in range(RESAMPLES):
        drawn = [thinned[at] for at in generator.integers(len(turns), size=len(turns))]
        again = [samples[generator.integers(samples.size, size=samples.size)] for samples in drawn]
        found[row] = np.percentile(np.concatenate(again), PERCENTS)
    tail = (100 - CONFIDENCE_PERCENT) / 2
    lows, highs = np.percentile(found, [tail, 100 - tail], axis=0)
    # The thinned samples may miss what all of them say.
    return tuple(
        QuantileInterval(
            percent=percent,
            latency_ms=float(value),
            low_ms=float(min(low, value)),
            high_ms=float(max(high, value)),
        )
        for percent, value, low, high in zip(PERCENTS, values, lows, highs, strict=True)
    )


def drift(samples: Sequence[float]) -> float:
    """Median of the last third against that of the first: 0.1 is 10 % slower at the end."""
    third = len(samples) // 3
    if not third:
        return 0.0
    first, last = np.median(samples[:third]), np.median(samples[-third:])
    return float(last / first - 1)


def variation(values: Sequence[float]) -> float | None:
    """Coefficient of variation: standard deviation over mean; None of fewer than two."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.mean(values))


def outliers(samples: Sequence[float]) -> int:
    """How many lie above the third quartile by more than FAR_OUT distances of the quartiles.

    The distance is taken as 1 % of the median at least: a clock with coarse steps may leave none.
    """
    if not samples:
        return 0
    values = np.asarray(samples)
    first, middle, third = np.percentile(values, [25, 50, 75])
    return int(np.sum(values > third + FAR_OUT * max(third - first, 0.01 * middle)))


def _thin(samples: Sequence[float]) -> Values:
    """Evenly spaced, so that a drift stays in."""
    step = -(-len(samples) // SAMPLES_PER_TURN)
    return np.asarray(samples[::step])
