"""How sure answers are, and whether they may be: numbers in, numbers out."""

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.record import Record
from edgecompress.spec.looks import Calibration

BINS = 15
RESAMPLES = 400
SEED = 20_232
FEWEST_WRONG = 5
TAIL = 0.05

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def calibration(before: Record, after: Record) -> Calibration | None:
    """Calibration of two files on the same samples; None where answers have no confidence."""
    if before.labels is None or before.answers is None or before.confidences is None:
        return None
    if after.answers is None or after.confidences is None:
        return None
    first, second = before.answers == before.labels, after.answers == before.labels
    sure = before.confidences.astype(np.float64), after.confidences.astype(np.float64)
    errors = expected_error(sure[0], first), expected_error(sure[1], second)
    generator, samples = np.random.default_rng(SEED), before.samples
    rises = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, samples, samples)
        rises.append(
            expected_error(sure[1][drawn], second[drawn])
            - expected_error(sure[0][drawn], first[drawn])
        )
    low, high = np.quantile(rises, [TAIL, 1 - TAIL])
    return Calibration(
        bins=BINS,
        error_before=errors[0],
        error_after=errors[1],
        low=float(low),
        high=float(high),
        wrong_before=_mean(sure[0][~first]),
        wrong_after=_mean(sure[1][~second]),
        wrong_low=_rise(sure[0][~first], sure[1][~second]),
    )


def expected_error(confidences: Floats, right: Flags) -> float:
    """Expected calibration error over BINS bins of equal width (Guo et al., 2017).

    Args:
        confidences: [N], 0 to 1.
        right: [N].

    """
    bins = np.minimum((confidences * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=confidences - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidences))


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _rise(before: Floats, after: Floats) -> float | None:
    """Lower end of the interval of the difference of two means (Welch)."""
    if min(len(before), len(after)) < FEWEST_WRONG:
        return None
    error = np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
    return float(after.mean() - before.mean() - 1.645 * error)
