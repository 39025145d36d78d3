"""Who leaves a race early: a rule with a stated error rate, and no clock in it.

In a round every file that is still in the race runs once, side by side, so that what slows a
whole round down is common to all and cancels (blocking, as in F-Race: Birattari et al., 2002).
After each round a file leaves that is shown to be slower than the fastest, by Student's t on the
differences of the logarithms, with the variance of all files pooled; the error rate is divided by
the number of tests that there can be (Bonferroni: any pair of files, in any round). One round has
no variance of its own. After it a file leaves that takes twice as long, because no valid turn on a
device that others leave alone is so far off.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

ERROR_RATE = 0.05
"""Chance that the fastest file leaves early."""
FAR = 2.0
"""After one round, a file that takes so many times as long as the fastest leaves."""
LEAST_SPREAD = 0.005
"""Two files' turns never agree better than that, whatever few rounds seem to say."""

Logs = NDArray[np.float64]


def leavers(logs: Logs, rounds: int, entrants: int, error_rate: float = ERROR_RATE) -> set[int]:
    """The columns that are shown to be slower than the fastest.

    Args:
        logs: [rounds so far, those still in the race], logarithms of a turn's latency.
        rounds: how many there can be at most.
        entrants: how many files began.
        error_rate: for the whole race.

    """
    done, running = logs.shape
    behind = logs.mean(axis=0) - logs.mean(axis=0).min()
    if done == 1:
        return set(np.flatnonzero(behind > math.log(FAR)).tolist())
    if running < 2:
        return set()
    tests = max(math.comb(entrants, 2) * (rounds - 1), 1)
    freedom = (done - 1) * (running - 1)
    margin = student_t(1 - error_rate / tests, freedom) * _spread(logs) * math.sqrt(2 / done)
    return set(np.flatnonzero(behind > margin).tolist())


def _spread(logs: Logs) -> float:
    """Standard deviation of a turn, without what its round and its file have by themselves."""
    rounds, files = logs.shape
    rest = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()
    variance = float((rest**2).sum()) / ((rounds - 1) * (files - 1))
    return max(math.sqrt(variance), LEAST_SPREAD)


def student_t(probability: float, freedom: int) -> float:
    """Quantile of Student's t above the median, by Wallace's (1959) approximation inverted: from
    two degrees of freedom on at most a tenth too large, and far too large for one.
    """
    normal = NormalDist().inv_cdf(probability) * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(normal**2 / freedom))
