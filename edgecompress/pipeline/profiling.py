"""Where the time goes on a device, after it was measured there."""

from edgecompress.measure.loaded import Loaded
from edgecompress.measure.profile import count_operators, profile_of, timed
from edgecompress.measure.turns import Session
from edgecompress.runtimes import runtime
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.profile import Counting, Profile


def profiled(
    session: Session, file: Loaded, inspection: Inspection, latency_ms_p50: float
) -> tuple[Inspection, Profile]:
    """The inspection with the times that the runtime counts, and the profile that they make.

    Args:
        session: where; its protocol is not used.
        file: that was measured.
        inspection: of the file, by the same runtime.
        latency_ms_p50: as it was measured, without counters.

    """
    counting = count_operators(session.agent, file, session.inputs, session.threads)
    return joined(counting, file.runner, inspection, latency_ms_p50)


def joined(
    counting: Counting, runner: str, inspection: Inspection, latency_ms_p50: float | None = None
) -> tuple[Inspection, Profile]:
    """The same of what was counted; `runner`: the runtime that did."""
    pairs = runtime(runner).counted(counting.operators, inspection.ops)
    return timed(inspection, counting, pairs), profile_of(
        counting, inspection, pairs, latency_ms_p50
    )
