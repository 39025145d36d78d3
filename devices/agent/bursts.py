"""The steady inferences of one process of several: bursts, between which the others run."""

from __future__ import annotations

from typing import Callable, Iterator, NamedTuple

from .baton import ENOUGH, MORE, READY, Baton
from .conditions import Watch
from .loops import Call, Limits, Samples, steady

LEAST, BURST_S = 3, 0.01
"""A burst is of so many inferences, and as long, at least. Single bursts scatter as much however
long they are, on a machine that is shared: many short ones tell more."""


class Bursts(NamedTuple):
    samples: Samples
    """Those of all bursts, in order."""
    medians_ms: list[float]
    """The median latency of each burst."""


def in_bursts(
    calls: Iterator[Call],
    limits: Limits,
    baton: Baton,
    watch: Watch,
    compute_ms: Callable[[], float] | None = None,
) -> Bursts:
    """As `steady`, until nobody needs another burst; `watch` looks at this process's own alone.

    The first inference of a burst is not timed, because the others have left their data in the
    caches.
    """
    latency_ms: list[float] = []
    computed: list[float] = []
    medians_ms: list[float] = []
    count, every, longest_ms, elapsed_s = 0, 1, 0.0, 0.0
    word = READY
    while baton.pass_on(word):
        watch.resume()
        next(calls)()
        burst = steady(calls, Limits(LEAST, BURST_S, limits.most_samples), None, compute_ms)
        watch.pause()
        medians_ms.append(sorted(burst.latency_ms)[len(burst.latency_ms) // 2])
        latency_ms += burst.latency_ms[::every]
        if burst.compute_ms is not None:
            computed += burst.compute_ms[::every]
        while len(latency_ms) > limits.most_samples:
            del latency_ms[1::2], computed[1::2]
            every *= 2
        count += burst.iterations
        longest_ms = max(longest_ms, burst.latency_ms_max)
        elapsed_s += burst.elapsed_s
        done = count >= limits.min_iterations and elapsed_s >= limits.min_duration_s
        word = ENOUGH if done else MORE
    samples = Samples(
        latency_ms, count, longest_ms, elapsed_s, None if compute_ms is None else computed
    )
    return Bursts(samples, medians_ms)
