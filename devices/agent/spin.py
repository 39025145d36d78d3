"""How fast the processor itself is just now: one small loop, always the same work.

A virtual machine, or a phone, does not tell the clock of its cores, nor that its host lets others
use them. This loop is slower then too.
"""

from __future__ import annotations

import time

LOOPS = 40
ADDITIONS = 2_000


def spin_us() -> float:
    """Median time of the loop; all of it takes a few milliseconds."""
    clock = time.perf_counter_ns
    taken = []
    for _ in range(LOOPS):
        start, total = clock(), 0
        for each in range(ADDITIONS):
            total += each
        taken.append(clock() - start)
    return sorted(taken)[LOOPS // 2] / 1e3
