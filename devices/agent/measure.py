"""`measure`: one model in this fresh process, as a Turn."""

from __future__ import annotations

import gc
import platform
import shutil
import time
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from . import memory
from .accelerator import AcceleratorRunner
from .arrays import read_feeds
from .baton import Baton
from .bursts import in_bursts
from .conditions import Stops, Watch
from .cores import usable_cores
from .failure import Failure
from .files import sha256_of
from .loops import (
    ENOUGH_SAMPLES,
    Call,
    Limits,
    Pace,
    WarmupLimits,
    side_by_side,
    steady,
    time_ms,
    warm_up,
)
from .request import Request
from .runner import Runner
from .runners import runner
from .sensors import Sensors, Which
from .state import read_state
from .telemetry import Telemetry, energy_mj
from .unread import Unread


class Protocol(NamedTuple):
    """How it is measured."""

    warmup: WarmupLimits
    limits: Limits
    interval_ms: float
    """From one inference to the next; 0: at once."""
    streams: int
    batch: int
    baton: Baton | None
    """None: it is measured alone."""

    @classmethod
    def of(cls, request: Request, cores: int, threads: int) -> Protocol:
        streams = request.integer("streams", 0, otherwise=1)
        return cls(
            WarmupLimits(
                request.integer("warmup_iterations", 0),
                request.number("max_warmup_s", otherwise=0.0),
            ),
            Limits(
                request.integer("min_iterations", 1),
                request.number("min_duration_s"),
                request.integer("most_samples", 2, otherwise=ENOUGH_SAMPLES),
            ),
            request.number("interval_ms", otherwise=0.0),
            streams if streams else max(1, cores // threads),
            request.integer("batch", 1, otherwise=1),
            request.baton,
        )


class Board(NamedTuple):
    """Where sensors are looked for."""

    root: Path
    which: Which
    unread: Unread


def run(request: Request, root: Path = Path("/"), which: Which = shutil.which) -> dict[str, object]:
    """A Turn; sensors are looked for under `root`, and the programs that read them by `which`."""
    wanted, cores = request.integer("threads", 1), usable_cores(root)
    # More threads than cores would wait for one another.
    threads = min(wanted, cores)
    protocol = Protocol.of(request, cores, threads)
    start = time.perf_counter()
    models = [runner(request, threads) for _ in range(protocol.streams)]
    runtime_time_ms = 1000 * (time.perf_counter() - start)
    samples = request.integer("samples", 1, otherwise=1)
    feeds = [
        _repeated(feed, protocol.batch) for feed in read_feeds(request.text("inputs"), samples)
    ]
    board = Board(root, which, Unread())
    before = read_state(*board)
    timed = _timed(models, feeds, protocol, board)
    after = read_state(*board)
    notes = [*models[0].notes(), *board.unread.notes()]
    for model in models:
        model.deactivate()
    return {
        "runtime_time_ms": runtime_time_ms,
        **timed,
        "streams": protocol.streams,
        "batch": protocol.batch,
        "model_sha256": sha256_of(request.text("model")),
        "threads": threads,
        "threads_wanted": wanted,
        "distinct_inputs": len(feeds),
        "before": before,
        "after": after,
        "versions": {**models[0].versions(), "python": platform.python_version()},
        "notes": notes,
    }


def _timed(
    models: Sequence[Runner], feeds: list[dict[str, np.ndarray]], protocol: Protocol, board: Board
) -> dict[str, object]:
    """What is measured of a Turn, in order: load, first inference, warm-up, steady inferences."""
    model = models[0]
    telemetry = Telemetry(board.root, board.which, unread=board.unread)
    pace = Pace(protocol.interval_ms) if protocol.interval_ms else None
    compute_ms = model.compute_ms if isinstance(model, AcceleratorRunner) else None
    # A collection in the middle would show as an outlier of the model.
    gc.collect()
    gc.disable()
    memory.reset_peak()
    runtime_rss_bytes = memory.current_rss()
    with Stops() as stops:
        watch = Watch(board.root, Sensors(*board), stops)
        watch.begin()
        init_time_ms = time_ms(model.activate)
        calls = _calls(model, feeds, protocol.batch)
        first_inference_ms = time_ms(model.checked(feeds[0]))
        loading = watch.end()
        # The first sample has had its turn.
        next(calls)
        sessions = [calls, *(_opened(other, feeds, protocol.batch) for other in models[1:])]
        warmup = warm_up(calls, protocol.warmup._replace(cycle=len(feeds)), pace)
        if pace is not None:
            pace.restart()
        watch.begin()
        medians_ms = None
        with telemetry:
            if protocol.baton is not None:
                watch.pause()
                taken, medians_ms = in_bursts(
                    calls, protocol.limits, protocol.baton, watch, compute_ms
                )
            elif len(sessions) > 1:
                taken = side_by_side(sessions, protocol.limits)
            else:
                taken = steady(calls, protocol.limits, pace, compute_ms)
        running = watch.end(0.0 if pace is None else pace.slept_s)
    return {
        "init_time_ms": init_time_ms,
        "first_inference_ms": first_inference_ms,
        "warmup_ms": warmup.latency_ms,
        "warmup_spread": warmup.spread,
        "latency_ms": taken.latency_ms,
        "bursts_ms": medians_ms,
        "latency_ms_without_copies": taken.compute_ms,
        "iterations": taken.iterations,
        "latency_ms_max": taken.latency_ms_max,
        "late": None if pace is None else pace.late,
        "samples_per_s": taken.iterations * protocol.batch / taken.elapsed_s,
        "loading": loading,
        "running": running,
        "peak_rss_bytes": memory.peak_rss() - runtime_rss_bytes,
        "runtime_rss_bytes": runtime_rss_bytes,
        "telemetry": telemetry.samples,
        "power_of": telemetry.power_of,
        "energy_mj_per_inference": energy_mj(telemetry.power_mw, taken.latency_ms),
    }


def _repeated(feed: dict[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
    """The arrays of one inference, `batch` times one after the other."""
    if batch == 1:
        return feed
    return {name: np.concatenate([array] * batch) for name, array in feed.items() if array.ndim}


def _calls(model: Runner, feeds: list[dict[str, np.ndarray]], batch: int) -> Iterator[Call]:
    sizes = [tensor.shape[0] for tensor in model.inputs if tensor.shape]
    if batch > 1 and any(isinstance(size, int) for size in sizes):
        raise Failure(
            "input",
            f"the file's batch is fixed, so that it takes no {batch} at a time; measure it with"
            " batch: 1, or export it with a free one",
        )
    return model.cycled(feeds)


def _opened(model: Runner, feeds: list[dict[str, np.ndarray]], batch: int) -> Iterator[Call]:
    model.activate()
    return _calls(model, feeds, batch)
