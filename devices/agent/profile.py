"""`profile`: the time of each operator, by the runtime's own counters, in a pass of its own."""

from __future__ import annotations

import time

from .arrays import read_feeds
from .counts import WARMUPS, middle_mean
from .files import sha256_of
from .request import Request
from .runners import runner

LEAST, MOST = 5, 100
ENOUGH_S = 1.0
"""Between LEAST and MOST inferences, for so long."""
MAX_OPERATORS = 10_000
"""The host reads no more."""


def run(request: Request) -> dict[str, object]:
    """A Counting: operators in order of execution, or in their place why there are none."""
    model = runner(request, request.integer("threads", 1))
    feeds = read_feeds(request.text("inputs"), request.integer("samples", 1, otherwise=1))
    name, version = next(iter(model.versions().items()))
    answer: dict[str, object] = {
        "runtime": f"{name} {version}",
        "model_sha256": sha256_of(request.text("model")),
    }
    if model.uncounted is not None:
        return {**answer, "why_none": model.uncounted}
    model.counting = True
    model.activate()
    calls = model.cycled(feeds)
    taken_us: list[float] = []
    end = time.perf_counter() + ENOUGH_S
    while len(taken_us) < WARMUPS + LEAST or (
        len(taken_us) < WARMUPS + MOST and time.perf_counter() < end
    ):
        call = next(calls)
        start = time.perf_counter_ns()
        call()
        taken_us.append((time.perf_counter_ns() - start) / 1e3)
        model.note_counts()
    counts = model.counted()
    model.deactivate()
    rows = counts.rows(WARMUPS)
    return {
        **answer,
        "inferences": len(counts) - WARMUPS,
        "inference_us": middle_mean(taken_us[WARMUPS:]),
        "operators": rows[:MAX_OPERATORS],
    }
