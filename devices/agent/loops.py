"""The loops that are timed: warm-up until the state is steady, and then every inference.

The clock is read right before and right after an inference; all else happens between two.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Iterator, NamedTuple, Sequence

ENOUGH_SAMPLES = 200_000
"""The host takes an answer of so many, and not one without end."""
MOST_WARMUPS = 10_000
"""So many of the warm-up are kept."""
WINDOWS = 3
WINDOW_MS = 50.0
"""A window takes at least this long, and has all samples alike often, if there is time."""
STEADY_SPREAD = 0.05
"""The state is steady when the medians of the last WINDOWS windows lie this close together."""

Call = Callable[[], object]
"""One inference; loops take them from an iterator, as each may have another sample."""


class Limits(NamedTuple):
    """How long to go on."""

    min_iterations: int
    min_duration_s: float
    most_samples: int = ENOUGH_SAMPLES


class Warmup(NamedTuple):
    latency_ms: list[float]
    spread: float | None
    """How far apart the medians of the last windows are: largest over smallest, less 1; None: not
    looked at."""


class Samples(NamedTuple):
    """What a loop took."""

    latency_ms: list[float]
    iterations: int
    """All, those included that are not kept."""
    latency_ms_max: float
    """The largest of all."""
    elapsed_s: float
    compute_ms: list[float] | None = None
    """The same inferences by the accelerator's own clock."""


class Pace:
    """Called before an inference, it sleeps until that is due."""

    def __init__(self, interval_ms: float) -> None:
        self._interval_s = interval_ms / 1000
        self.restart()

    def restart(self) -> None:
        self.slept_s = 0.0
        self.late = 0
        """Inferences that began later than they were due, because the one before took too long."""
        self._due_s = time.perf_counter() + self._interval_s

    def __call__(self) -> None:
        early_s = self._due_s - time.perf_counter()
        if early_s > 0:
            time.sleep(early_s)
            self.slept_s += early_s
        else:
            # The next picture is waited for, and not the whole backlog.
            self.late += 1
            self._due_s -= early_s
        self._due_s += self._interval_s


def time_ms(call: Call) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


class WarmupLimits(NamedTuple):
    """How long to warm up."""

    min_iterations: int
    max_duration_s: float
    """0: it is not looked at whether the state is steady."""
    cycle: int = 1
    """Different samples, which may take unlike times."""


def warm_up(calls: Iterator[Call], limits: WarmupLimits, rest: Call | None = None) -> Warmup:
    """Until the state is steady, or the time for that is over.

    `rest` is called before each.
    """

    def one_ms() -> float:
        if rest is not None:
            rest()
        return time_ms(next(calls))

    least, limit_s, cycle = limits
    taken = [one_ms() for _ in range(least)]
    medians: list[float] = []
    spread = None
    end = time.perf_counter() + limit_s
    while limit_s and (len(medians) < WINDOWS or time.perf_counter() < end):
        window: list[float] = []
        total_ms = 0.0
        while total_ms < WINDOW_MS or (len(window) % cycle and total_ms < 1000 * limit_s / WINDOWS):
            window.append(one_ms())
            total_ms += window[-1]
        taken += window[: MOST_WARMUPS - len(taken)]
        medians.append(sorted(window)[len(window) // 2])
        if len(medians) >= WINDOWS:
            last = medians[-WINDOWS:]
            spread = max(last) / max(min(last), 1e-6) - 1
            if spread <= STEADY_SPREAD:
                break
    return Warmup(taken, spread)


def steady(
    calls: Iterator[Call],
    limits: Limits,
    rest: Call | None = None,
    compute_ms: Callable[[], float] | None = None,
) -> Samples:
    """Every sample in order, until both minima are reached.

    Where there are more than `most_samples` every second one is let go, and from then on only
    every second one is kept, and so on: those that are kept are evenly spaced, whatever they are.

    Beside them, where there is an accelerator, `compute_ms` of the same inferences: read between
    two samples, so that reading it is no part of either.
    """
    clock = time.perf_counter_ns
    taken: list[int] = []
    computed: list[float] = []
    count, every, longest = 0, 1, 0
    begin = clock()
    least, deadline = limits.min_iterations, begin + int(limits.min_duration_s * 1e9)
    while True:
        if rest is not None:
            rest()
        call = next(calls)
        start = clock()
        call()
        end = clock()
        passed = end - start
        if passed > longest:
            longest = passed
        if count % every == 0:
            taken.append(passed)
            if compute_ms is not None:
                computed.append(compute_ms())
        count += 1
        if count >= least and end >= deadline:
            break
        if len(taken) == limits.most_samples:
            del taken[1::2], computed[1::2]
            every *= 2
    return Samples(
        [passed / 1e6 for passed in taken],
        count,
        longest / 1e6,
        (end - begin) / 1e9,
        computed if compute_ms is not None else None,
    )


def side_by_side(sessions: Sequence[Iterator[Call]], limits: Limits) -> Samples:
    """Several sessions at once, each in a thread; samples come one session after the other.

    All begin together, and each goes on until it has its share and the time is over.
    """
    share = Limits(
        -(-limits.min_iterations // len(sessions)),
        limits.min_duration_s,
        max(2, limits.most_samples // len(sessions)),
    )
    found: list[Samples | BaseException] = []
    gate = threading.Barrier(len(sessions))

    def work(calls: Iterator[Call]) -> None:
        try:
            gate.wait()
            found.append(steady(calls, share))
        except BaseException as error:
            # Told where the threads are joined.
            found.append(error)

    threads = [threading.Thread(target=work, args=(calls,), daemon=True) for calls in sessions]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed_s = time.perf_counter() - begin
    done: list[Samples] = []
    for each in found:
        if isinstance(each, BaseException):
            raise each
        done.append(each)
    return Samples(
        [ms for each in done for ms in each.latency_ms],
        sum(each.iterations for each in done),
        max(each.latency_ms_max for each in done),
        elapsed_s,
    )
