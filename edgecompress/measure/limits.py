"""What makes a measurement invalid, and what is merely said: the one table of limits."""

import math
from typing import NamedTuple

from edgecompress.spec.validity import FindingKind

NEVER = math.inf


class Seen(NamedTuple):
    """A figure that is the worse the larger it is."""

    kind: FindingKind
    name: str
    """The figure's, with its unit."""
    value: float
    text: str


class Limit(NamedTuple):
    """For a figure that is the worse the larger it is."""

    flag: float
    """Beyond this it is said."""
    invalid: float
    """Beyond this the measurement decides nothing."""
    remedy: str
    """What to do about it."""


_QUIET = "end what else runs there"

LIMITS: dict[FindingKind, Limit] = {
    # Both minima are what the protocol promises; a hundredth is for the clock's edges.
    "count": Limit(0.0, 0.0, "update the tool that measures there, which ends early"),
    "duration": Limit(0.01, 0.01, "update the tool that measures there, which ends early"),
    # A median is repeated within 3 % only from a state that is steady within about as much. Between
    # 5 % and 15 % the steady inferences may still be so: drift and turns that differ tell.
    "warmup": Limit(0.05, 0.15, "give measurement.max_warmup_s more time, or " + _QUIET),
    # Any time that is not the model's is in some sample, of unknown length.
    "stopped": Limit(0.0, 0.0, "let nothing stop the agent (Ctrl-Z, a debugger, a job scheduler)"),
    "suspended": Limit(0.05, 0.5, "keep the machine awake"),
    # Work of one thread leaves next to no time unused. More was a freezer, a debugger or a disk.
    "idle": Limit(
        0.03, 0.10, "let nothing pause the agent (a container that is frozen, a debugger)"
    ),
    # The median takes this as it comes up to half of the samples; p99 does not: where a scheduler
    # gives others turns of 3 ms, 5 % of waiting is in about every sixtieth millisecond.
    "waiting": Limit(0.01, 0.05, _QUIET),
    # The same by a hypervisor; it is told of all cores together, so that half may concern others.
    "stolen": Limit(0.02, 0.10, "use a machine that is not shared, or measure when it is quiet"),
    # Others on other cores take no time from it, but caches, memory and the clock: up to 40 % on
    # the second thread of its core, so that a quarter of all cores may cost a tenth.
    "other_load": Limit(0.05, 0.25, _QUIET),
    # All that a phone tells; it counts what waits for anything, so that one per core is normal.
    "load": Limit(1.0, NEVER, _QUIET),
    # Time in which a quota lets nothing run is in the samples in pieces of up to 100 ms.
    "quota": Limit(0.0, 0.01, "raise the CPU quota of its control group, or use fewer threads"),
    # The figures are right, of fewer threads than were asked for.
    "fewer_cores": Limit(0.0, NEVER, "give it more cores, or set runtime.threads to what it has"),
    # 0.5: by the board's word it was held back at some time, or a little; 1: while it was measured.
    "throttled": Limit(0.0, 0.5, "cool the board, or give it a stronger power supply"),
    # A latency goes with the clock. Steps of governors are 4 % to 7 %; one step may be noise.
    "clock": Limit(0.05, 0.15, "set the governor to performance, or lock the clock, and cool it"),
    # The same small loop before and after. On a machine that shares its processor with others it is
    # the rule; the interval of a speedup has it in it, and drift and turns that differ count.
    "processor": Limit(0.10, NEVER, "use a machine that is not shared, or wait until it is quiet"),
    # From the first third of a turn to its last, or of the turns; beyond a quarter no one figure
    # stands for it.
    "drift": Limit(0.10, 0.25, "measure longer, on a board that is cool and quiet"),
    # Counted and never removed. They say that p99 and the maximum are not the model's alone.
    "outliers": Limit(0.05, NEVER, _QUIET),
    # Faults per inference: above one in twenty p95 is the disk's.
    "page_faults": Limit(0.0, 0.05, "free memory there, or use a smaller model"),
    # Another program's swapping need not concern this one; if it does, page faults say so.
    "swapping": Limit(0.0, NEVER, "free memory there"),
    # Steady inferences come after it; the load time is a true one, of a cold start.
    # Python's own modules may read a little.
    "cold_cache": Limit(65_536.0, NEVER, "measure once more for the load time of a warm start"),
    # A result of the paced protocol.
    "late": Limit(0.01, NEVER, "pace it more slowly, or make it faster"),
    # A turn that was disturbed is none; fewer than were asked for promise too much.
    "turns": Limit(0.0, 0.0, _QUIET),
    # Standard deviation over mean of the turns' medians. The interval of the speedup has it in it;
    # beyond 15 % the latencies themselves are of no one state.
    "turns_differ": Limit(0.05, 0.15, "measure more turns, on a board that is cool and quiet"),
}

OF_HEAT: frozenset[FindingKind] = frozenset({"drift", "throttled", "turns_differ"})
"""What a protocol that looks for heat finds, and is not made invalid by."""
OF_CLOCKS: frozenset[FindingKind] = frozenset({"clock", "processor"})
SHARED: frozenset[FindingKind] = frozenset({"warmup", "drift", "turns_differ"})
"""What befalls all files alike that run side by side, burst by burst: how many times as long one
takes as another stands, and how many milliseconds that is does not.
"""
BY_LATENCIES: frozenset[FindingKind] = frozenset({"drift", "outliers", "late", "turns_differ"})
"""Seen in the latencies themselves. No turn is put away for these: whoever removes what looks slow
finds what they wish.
"""
