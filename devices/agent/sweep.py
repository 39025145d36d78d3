"""`sweep`: many small files in this one process, in rounds, for comparing them with one another.

What starting a process costs is paid once. Each round runs every file for a moment, and the order
alternates, so that a change of the clock or a load of others meets them all. It goes on until most
files have been as fast as ever in two rounds, because what disturbs only adds; or until its time
is over, as of a large model on a slow board.
"""

from __future__ import annotations

import gc
import platform
import time
from typing import Iterator

from .arrays import read_feeds
from .failure import Failure
from .files import sha256_of
from .loops import Call
from .request import Request
from .runner import Runner
from .runners import options_of, runner_class

WARMUPS = 2
"""Inferences before each moment: the file before has left its own data in the caches."""
LEAST = 2
LEAST_ROUNDS = 2
MOST_FILES = 4096
ALIKE, SETTLED = 1.02, 0.9
"""So near the fastest round the second fastest is, for that share of the files."""


def run(request: Request) -> dict[str, object]:
    """A Sweep: of each file the median of every round."""
    threads, moment_s = request.integer("threads", 1), request.number("moment_s")
    rounds, most = request.integer("rounds", 1), request.integer("most_rounds", 1)
    longest_s = request.number("longest_s")
    files = sorted(request.texts("files").items())
    if not 0 < len(files) <= MOST_FILES:
        raise Failure("input", f"files must be 1 to {MOST_FILES}, got {len(files)}")
    make, options = runner_class(request), options_of(request)
    make.check(options)
    inputs = request.texts("inputs")
    models: list[Runner] = []
    calls: dict[str, Iterator[Call]] = {}
    for name, path in files:
        if name not in inputs:
            raise Failure("input", f"inputs has none for the file '{name}'")
        model = make(path, threads, options)
        model.activate()
        models.append(model)
        calls[name] = model.cycled(read_feeds(inputs[name], 1))
    gc.collect()
    gc.disable()
    taken_ms: dict[str, list[float]] = {name: [] for name, _ in files}
    order = list(taken_ms)
    end = time.monotonic() + longest_s
    for number in range(most):
        if number >= rounds and _are_settled(list(taken_ms.values())):
            break
        if number >= LEAST_ROUNDS and time.monotonic() > end:
            break
        for name in order:
            taken_ms[name].append(_moment_ms(calls[name], moment_s))
        order.reverse()
    versions = models[0].versions()
    notes = sorted({note for model in models for note in model.notes()})
    for model in models:
        model.deactivate()
    return {
        "files": [
            {"name": name, "model_sha256": sha256_of(path), "rounds_ms": taken_ms[name]}
            for name, path in files
        ],
        "threads": threads,
        "versions": {**versions, "python": platform.python_version()},
        "notes": notes,
    }


def _are_settled(taken_ms: list[list[float]]) -> bool:
    settled = 0
    for rounds_ms in taken_ms:
        fastest = sorted(rounds_ms)[:2]
        settled += fastest[-1] <= ALIKE * fastest[0]
    return settled >= SETTLED * len(taken_ms)


def _moment_ms(calls: Iterator[Call], moment_s: float) -> float:
    """Median latency of a moment."""
    for _ in range(WARMUPS):
        next(calls)()
    clock = time.perf_counter_ns
    taken: list[int] = []
    end = clock() + int(moment_s * 1e9)
    while len(taken) < LEAST or clock() < end:
        call = next(calls)
        start = clock()
        call()
        taken.append(clock() - start)
    return sorted(taken)[len(taken) // 2] / 1e6
