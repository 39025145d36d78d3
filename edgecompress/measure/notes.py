"""What may make a latency wrong, said beside it."""

from collections.abc import Sequence

from edgecompress.measure.telemetry import energy_note
from edgecompress.spec.measurement import Probe, Turn
from edgecompress.spec.validity import Validity

X86 = ("x86_64", "AMD64", "i686", "i386")


def notes(turns: Sequence[Turn], validity: Validity) -> tuple[str, ...]:
    """One line for each thing that casts doubt; none when all is well."""
    said = dict.fromkeys(note for turn in turns for note in turn.notes)
    return (
        *said,
        *_unread(turns),
        *_summaries(turns),
        *(found.text for found in (*validity.reasons, *validity.flags)),
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
