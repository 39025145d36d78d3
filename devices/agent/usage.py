"""`usage`: the memory that a model takes, in a process of its own where nothing is timed."""

from __future__ import annotations

import threading

from . import memory
from .arrays import read_feeds
from .files import sha256_of
from .request import Request
from .runners import runner

INFERENCES = 4
"""ONNX Runtime plans its memory in the first and takes it in the second; none takes more later."""
EVERY_S = 0.002


def run(request: Request) -> dict[str, object]:
    """A MemoryUse: above the same process after it loaded the runtime and ran a model of one
    operator, where the runtime has one.
    """
    model = runner(request, request.integer("threads", 1))
    feeds = read_feeds(request.text("inputs"), request.integer("samples", 1, otherwise=1))
    # An application reads them where they are.
    model.copies_outputs = False
    kept = model.set_up()
    memory.reset_peak()
    runtime = memory.current()
    model.activate()
    loaded = memory.current()
    calls = model.cycled(feeds)
    with PeakPss() as looks:
        for _ in range(INFERENCES):
            next(calls)()
    used = memory.current()
    # The code that is read from the runtime's libraries as it is first run is the runtime's.
    # The kernel's peak is rounded by what each core has not added yet: what was seen counts too.
    peak = max(memory.peak_rss() - used.code_rss, loaded.data_rss, used.data_rss)
    peak_rss = max(peak - runtime.data_rss, 0)
    peak_pss = _above(_larger(looks.largest, _larger(loaded.pss, used.pss)), runtime.pss)
    if peak_pss is not None:
        # The kernel may count a mapping twice in a look that it is interrupted in.
        peak_pss = min(peak_pss, peak_rss)
    arena = model.arena(feeds)
    model.deactivate()
    return {
        "runtime_rss_bytes": runtime.rss,
        "runtime_pss_bytes": runtime.pss,
        "runtime_was_used": kept is not None,
        "loaded_rss_bytes": max(loaded.data_rss - runtime.data_rss, 0),
        "peak_rss_bytes": peak_rss,
        "loaded_pss_bytes": _above(loaded.pss, runtime.pss),
        "peak_pss_bytes": peak_pss,
        "arena_bytes": None if arena is None else arena.held,
        "arena_used_bytes": None if arena is None else arena.used,
        "arena_of": None if arena is None else arena.of,
        "model_sha256": sha256_of(request.text("model")),
    }


def _above(value: int | None, base: int | None) -> int | None:
    return None if value is None or base is None else max(value - base, 0)


def _larger(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


class PeakPss:
    """Reads it over and over while a `with` block runs; what is shorter may be missed."""

    largest: int | None = None

    def __enter__(self) -> PeakPss:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.largest = _larger(self.largest, memory.current_pss())
