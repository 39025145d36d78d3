"""`measure`: one model in this fresh process, as a Turn."""

from __future__ import annotations

import gc
import platform
import shutil
import time
from pathlib import Path
from typing import Callable, Iterator

from . import memory
from .accelerator import AcceleratorRunner
from .arrays import read_feeds
from .files import sha256_of
from .request import Request
from .runners import runner
from .sensors import Which
from .state import read_state
from .telemetry import Telemetry, energy_mj
from .unread import Unread

ENOUGH_SAMPLES = 200_000
"""The host takes an answer of so many, and not one without end."""


def run(request: Request, root: Path = Path("/"), which: Which = shutil.which) -> dict[str, object]:
    """A Turn; sensors are looked for under `root`, and the programs that read them by `which`."""
    threads = request.integer("threads", 1)
    warmup_iterations = request.integer("warmup_iterations", 0)
    min_iterations = request.integer("min_iterations", 1)
    min_duration_s = request.number("min_duration_s")
    model = runner(request, threads)
    feeds = read_feeds(request.text("inputs"), request.integer("samples", 1, otherwise=1))
    unread = Unread()
    before = read_state(root, which, unread)
    telemetry = Telemetry(root, which, unread=unread)
    # A collection in the middle would show as an outlier of the model.
    gc.collect()
    gc.disable()
    memory.reset_peak()
    runtime_rss_bytes = memory.current_rss()

    init_time_ms = _time_ms(model.activate)
    calls = model.cycled(feeds)
    first_inference_ms = _time_ms(next(calls))
    warmup_ms = [_time_ms(next(calls)) for _ in range(warmup_iterations)]
    compute_ms = model.compute_ms if isinstance(model, AcceleratorRunner) else None
    with telemetry:
        latency_ms, without_copies_ms = _steady_ms(
            calls, compute_ms, min_iterations, min_duration_s
        )

    peak_rss_bytes = memory.peak_rss() - runtime_rss_bytes
    after = read_state(root, which, unread)
    notes = [*model.notes(), *unread.notes()]
    model.deactivate()
    return {
        "init_time_ms": init_time_ms,
        "first_inference_ms": first_inference_ms,
        "warmup_ms": warmup_ms,
        "latency_ms": latency_ms,
        "latency_ms_without_copies": without_copies_ms,
        "peak_rss_bytes": peak_rss_bytes,
        "runtime_rss_bytes": runtime_rss_bytes,
        "model_sha256": sha256_of(request.text("model")),
        "threads": threads,
        "distinct_inputs": len(feeds),
        "before": before,
        "after": after,
        "telemetry": telemetry.samples,
        "power_of": telemetry.power_of,
        "energy_mj_per_inference": energy_mj(telemetry.power_mw, latency_ms),
        "versions": {**model.versions(), "python": platform.python_version()},
        "notes": notes,
    }


def _time_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def _steady_ms(
    calls: Iterator[Callable[[], object]],
    compute_ms: Callable[[], float] | None,
    min_iterations: int,
    min_duration_s: float,
) -> tuple[list[float], list[float] | None]:
    """Every sample in order, until both minima are reached, or there are more than enough.

    Beside them, where there is an accelerator, `compute_ms` of the same inferences: read between
    two samples, so that reading it is no part of either.
    """
    samples: list[float] = []
    computed: list[float] = []
    end = time.perf_counter() + min_duration_s
    while len(samples) < min_iterations or (
        len(samples) < ENOUGH_SAMPLES and time.perf_counter() < end
    ):
        samples.append(_time_ms(next(calls)))
        if compute_ms is not None:
            computed.append(compute_ms())
    return samples, computed if compute_ms is not None else None
