"""The agent's own cost: its loop and its telemetry against a bare loop, in turns in one process."""

import gc
import importlib
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from measuring_files import chain, inputs_for

from edgecompress.measure.agent_file import PACKAGE, build_agent
from edgecompress.measure.statistics import ratio_interval

BLOCK_S = 1.2
"""One block of either; the telemetry's thread reads once a second, so that it is in each."""
BURST_S, BURSTS = 0.02, 10
"""Short blocks without telemetry, so many of either for each long one: on a machine that is shared
neighbours are slow alike.
"""
SIZES = {"50 us": (3, 12, 10), "20 ms": (36, 32, 24)}
"""Layers, channels and side of a chain that takes about as long."""


class Block(NamedTuple):
    median_ms: float
    """The inferences', by the wall clock: what a measurement tells."""
    cpu_ms: float
    """CPU time of the whole process, its threads and loops included, for each inference: it is the
    same on a machine that is shared.
    """


def cost(rounds: int) -> None:
    """Print the time of an inference in the agent's loop over that in a bare one."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        folder = Path(name)
        (folder / "agent.pyz").write_bytes(build_agent())
        sys.path.insert(0, str(folder / "agent.pyz"))
        _of_nothing()
        for label, size in SIZES.items():
            _one(label, folder, size, rounds)


class Nothing:
    """A session whose inferences take no time: what is left is the loop's own."""

    def run(self, _: None, __: dict[str, np.ndarray]) -> None:
        return None


def _of_nothing() -> None:
    """Print what either loop adds to a sample, and to the time between two: the least of many, so
    that it is the same on a machine that is shared.
    """
    sample, session, loops = np.zeros(1, np.float32), Nothing(), _agent("loops")
    runner = _agent("runner_onnxruntime").OnnxRuntimeRunner("", 1, {})
    runner._session = session
    call = runner._timed({"x": sample})
    least_us: dict[str, list[float]] = {"bare": [], "agent": []}
    blocks: dict[str, Callable[[], list[float]]] = {
        "bare": lambda: _bare(session, sample, 0.05),
        "agent": lambda: _steady(loops, itertools.repeat(call), 0.05),
    }
    for _ in range(40):
        for name, loop in blocks.items():
            start_s = time.perf_counter()
            taken = loop()
            all_us = 1e6 * (time.perf_counter() - start_s) / len(taken)
            least_us[name] += [1000 * statistics.median(taken), all_us]
    for at, of in enumerate(("added to a sample", "added in all")):
        bare, agent = (min(least_us[name][at::2]) for name in ("bare", "agent"))
        print(f"{of:26} bare {bare:6.3f} us, in the agent {agent:6.3f} us", flush=True)


def _steady(loops: Any, calls: Any, block_s: float) -> list[float]:
    samples: list[float] = loops.steady(calls, loops.Limits(1, block_s, 10**7)).latency_ms
    return samples


def _one(label: str, folder: Path, size: tuple[int, int, int], rounds: int) -> None:
    file = chain(folder / f"{label[:2]}.onnx", *size)
    ((sample,),) = inputs_for(file).samples
    runner = _agent("runner_onnxruntime").OnnxRuntimeRunner(str(file.file), 1, {})
    runner.activate()
    calls, session = runner.cycled([{"x": sample}]), _session(str(file.file))
    loops: dict[str, Callable[[Any], list[float]]] = {
        "bare": lambda _: _bare(session, sample),
        "agent": lambda telemetry: _in_agent(calls, telemetry),
    }
    # Neither is to meet what a collection costs.
    gc.disable()
    bursts: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(BURSTS * rounds):
        for name in list(loops) if number % 2 else reversed(list(loops)):
            if name == "agent":
                taken = _steady(_agent("loops"), calls, BURST_S)
            else:
                taken = _bare(session, sample, BURST_S)
            bursts[name].append(statistics.median(taken))
    _tell(f"{label}, {BURSTS * rounds} bursts", "median of the latencies", bursts)
    blocks: dict[str, list[Block]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name in list(loops) if number % 2 else reversed(list(loops)):
            # What it reads is looked for before anything is timed.
            telemetry = _agent("telemetry").Telemetry()
            start_s = time.process_time()
            taken = loops[name](telemetry)
            cpu_ms = 1000 * (time.process_time() - start_s) / len(taken)
            if number:
                # The first round warms up.
                blocks[name].append(Block(statistics.median(taken), cpu_ms))
    print(f"{label}, {rounds} rounds with telemetry")
    for at, of in enumerate(("median of the latencies", "CPU time, all included")):
        _tell("", of, {name: [block[at] for block in blocks[name]] for name in loops})


def _tell(title: str, of: str, found: dict[str, list[float]]) -> None:
    """Print by how much the agent's are more."""
    agent, bare = found["agent"], found["bare"]
    low, high = ratio_interval(agent, bare)
    ratio = statistics.median(a / b for a, b in zip(agent, bare, strict=True))
    if title:
        print(title)
    print(
        f"  {of:24} bare {1000 * statistics.median(bare):9.2f} us, in the agent"
        f" {ratio - 1:+.2%} (95 % interval {low - 1:+.2%} to {high - 1:+.2%})",
        flush=True,
    )


def _session(file: str) -> Any:
    """A session as the agent's."""
    options = _agent("runner_onnxruntime")._options(1, "default")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _bare(session: Any, sample: np.ndarray, block_s: float = BLOCK_S) -> list[float]:
    """What somebody would write who wants to know how long `run` takes."""
    clock, feed, taken = time.perf_counter_ns, {"x": sample}, []
    end = clock() + int(block_s * 1e9)
    while True:
        start = clock()
        session.run(None, feed)
        now = clock()
        taken.append((now - start) / 1e6)
        if now >= end:
            return taken


def _in_agent(calls: Any, telemetry: Any) -> list[float]:
    """A turn's steady part, with everything that goes on beside it."""
    with telemetry:
        return _steady(_agent("loops"), calls, BLOCK_S)


def _agent(module: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{module}")
