"""What may make a latency wrong, said beside it."""

from collections.abc import Sequence

import numpy as np

from edgecompress.measure.telemetry import energy_note, flags, throttling_during
from edgecompress.spec.measurement import Probe, Turn

DRIFT_LIMIT = 0.10
X86 = ("x86_64", "AMD64", "i686", "i386")
THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's, by its number."""
UNTHROTTLED = ("0x0", THERMAL_STATUS[0])


def notes(turns: Sequence[Turn], cores: int) -> tuple[str, ...]:
    """One line for each thing that casts doubt; none when all is well."""
    said = dict.fromkeys(note for turn in turns for note in turn.notes)
    return (
        *said,
        *_unread(turns),
        *_summaries(turns),
        *_drift(turns),
        *_throttling(turns),
        *_load(turns, cores),
        *energy_note(turns),
    )


def is_emulated(probe: Probe) -> bool:
    """Whether the kernel's word on the CPU is of another architecture than the interpreter's.

    So it is under qemu-user, which from release 8.2 on makes up /proc/cpuinfo, but no other word
    of the kernel; or an Android that says that it is in an emulator. What ran there must never
    enter a verdict on speed.
    """
    if probe.is_emulator:
        return True
    is_x86 = probe.machine in X86
    if probe.kernel_machine is not None and (probe.kernel_machine in X86) != is_x86:
        return True
    x86_kernel, arm_kernel = "sse2" in probe.cpu_features, "asimd" in probe.cpu_features
    return arm_kernel if is_x86 else x86_kernel


def drift(samples: Sequence[float]) -> float:
    """Median of the last third against that of the first: 0.1 is 10 % slower at the end."""
    third = len(samples) // 3
    if not third:
        return 0.0
    first, last = np.median(samples[:third]), np.median(samples[-third:])
    return float(last / first - 1)


def _unread(turns: Sequence[Turn]) -> list[str]:
    states = (state for turn in turns for state in (turn.before, turn.after))
    return [
        f"the board says what is not understood, and not used: {line}"
        for line in dict.fromkeys(line for state in states for line in state.unread or ())
    ]


def _summaries(turns: Sequence[Turn]) -> list[str]:
    summaries = [turn.summary for turn in turns if turn.summary is not None]
    if not summaries:
        return []
    if all(summary.latency_ms_p50 is not None for summary in summaries):
        return [
            "the tool prints no samples: p50 is the median of its medians, p90 and p99 are at most"
            " its p95 and its maximum"
        ]
    return [
        "the tool prints neither samples nor percentiles: p50 is the median of its means, p90 and"
        " p99 are at most its maximum"
    ]


def _drift(turns: Sequence[Turn]) -> list[str]:
    runs = {f"turn {number}": turn.latency_ms for number, turn in enumerate(turns, start=1)}
    if len(turns) > 1:
        runs["all turns"] = tuple(ms for turn in turns for ms in turn.central_ms)
    drifts = {name: drift(samples) for name, samples in runs.items()}
    drifting = [
        f"{name} {value:+.0%}" for name, value in drifts.items() if abs(value) > DRIFT_LIMIT
    ]
    if not drifting:
        return []
    return [
        f"latency drifted from the first to the last third of the samples: {', '.join(drifting)}"
    ]


def _throttling(turns: Sequence[Turn]) -> list[str]:
    words = {state.throttled for turn in turns for state in (turn.before, turn.after)}
    around = [
        f"the board says throttled={word} ({_explain(word)})"
        for word in sorted(word for word in words if word)
        if word not in UNTHROTTLED
    ]
    return around + throttling_during(turns)


def _explain(word: str) -> str:
    if word in THERMAL_STATUS:
        return "Android's thermal status"
    state = flags(word)
    if state is None:
        return "unknown flags"
    return (
        ", ".join([*state.now, *(f"{flag} since boot" for flag in state.since_boot)])
        or "unknown flags"
    )


def _load(turns: Sequence[Turn], cores: int) -> list[str]:
    loads = [turn.before.load_1m for turn in turns if turn.before.load_1m is not None]
    if max(loads, default=0.0) <= cores:
        return []
    return [f"the machine was busy: load {max(loads):.1f} on {cores} cores"]
