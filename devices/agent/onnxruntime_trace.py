"""ONNX Runtime's profile: a Chrome trace, of which events of category Node are operators' kernels.

https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from .counts import Counted, Counts
from .failure import Failure

KERNEL = "_kernel_time"
INFERENCE = "model_run"


class Trace(NamedTuple):
    counts: Counts
    arena_bytes: int | None
    """The most that the allocator of tensors held; None: this release does not tell."""
    arena_used_bytes: int | None
    """The most of it that was in use."""


def read_trace(path: str) -> Trace:
    """What `end_profiling` wrote. Raises Failure where it is something else."""
    try:
        events = json.loads(Path(path).read_text(encoding="utf-8", errors="replace"))
        runs = sorted(_span(each) for each in events if each.get("name") == INFERENCE)
        kernels = [
            each
            for each in events
            if each.get("cat") == "Node" and str(each.get("name")).endswith(KERNEL)
        ]
        held, used = _largest(kernels, "mem_arena_held"), _largest(kernels, "mem_in_use_peak")
        return Trace(_counted(runs, kernels), held, used)
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise Failure("runtime", f"ONNX Runtime's profile cannot be read: {error}") from None


def _span(event: dict[str, Any]) -> tuple[int, int]:
    """Begin and end in microseconds."""
    begin = int(event["ts"])
    return begin, begin + int(event["dur"])


def _counted(runs: list[tuple[int, int]], kernels: list[dict[str, Any]]) -> Counts:
    """Kernels by inference. One that runs others, as Loop and If do, counts without them."""
    counts = Counts()
    # Outer before inner, where both begin in the same microsecond.
    ordered = sorted(kernels, key=lambda each: (int(each["ts"]), -int(each["dur"])))
    at = 0
    for begin, end in runs:
        found: list[Counted] = []
        open_until: list[tuple[int, int]] = []
        while at < len(ordered) and _span(ordered[at])[0] <= end:
            event = ordered[at]
            at += 1
            start, stop = _span(event)
            if start < begin:
                continue
            while open_until and open_until[-1][0] <= start:
                open_until.pop()
            if open_until and stop <= open_until[-1][0]:
                outer = open_until[-1][1]
                left = max(found[outer].time_us - (stop - start), 0.0)
                found[outer] = found[outer]._replace(time_us=left)
            open_until.append((stop, len(found)))
            name = str(event["name"])[: -len(KERNEL)]
            found.append(Counted(name, str(event["args"]["op_name"]), float(stop - start)))
        counts.add(found)
    return counts


def _largest(kernels: list[dict[str, Any]], key: str) -> int | None:
    sizes = [each["args"].get(key) for each in kernels]
    return max((int(size) for size in sizes if size is not None), default=None)
