"""What may make a latency wrong, said beside it."""

from collections.abc import Sequence
from statistics import median

from edgecompress.measure.limits import LIMITS
from edgecompress.measure.statistics import drift
from edgecompress.measure.telemetry import energy_note
from edgecompress.spec.measurement import Probe, Turn
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.spec.validity import Validity

X86 = ("x86_64", "AMD64", "i686", "i386")


def notes(
    turns: Sequence[Turn], validity: Validity, protocol: MeasurementProtocol
) -> tuple[str, ...]:
    """What a protocol was to find, and one line for each thing that casts doubt."""
    said = dict.fromkeys(note for turn in turns for note in turn.notes)
    return (
        *_sought(turns, protocol),
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


def _sought(turns: Sequence[Turn], protocol: MeasurementProtocol) -> list[str]:
    """What is looked for beside latencies."""
    if protocol.shows_heat and all(turn.latency_ms for turn in turns):
        change = median(drift(turn.latency_ms) for turn in turns)
        holds = "it holds" if change <= LIMITS["drift"].flag else "it does not hold"
        return [
            f"{holds} for {protocol.min_duration_s:g} s: the last third of the time takes"
            f" {change:+.1%} against the first"
        ]
    if any(turn.late is not None for turn in turns):
        late = sum(turn.late for turn in turns if turn.late is not None)
        return [f"{late:,} of {sum(turn.samples for turn in turns):,} paced inferences began late"]
    rates = [turn.samples_per_s for turn in turns if turn.samples_per_s is not None]
    if protocol.protocol == "throughput" and rates:
        return [
            f"{median(rates):,.1f} samples per second; sessions at once: {turns[0].streams},"
            f" samples of an inference: {turns[0].batch}"
        ]
    return []


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
