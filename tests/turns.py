"""Turns with given samples, for what is computed from them."""

from collections.abc import Sequence
from typing import Any

from edgecompress.measure.validity import Rules
from edgecompress.spec.measurement import DeviceState, Turn
from edgecompress.spec.protocol import Standard
from edgecompress.spec.validity import Conditions

FOUR = Rules(Standard(min_iterations=1, min_duration_s=1e-9, turns=1), 4)
"""A protocol that asks for next to nothing, on a board with four cores."""


def make_turn(
    latency_ms: Sequence[float],
    throttled: str | None = None,
    load_1m: float | None = 0.5,
    init_time_ms: float = 10.0,
    peak_rss_bytes: int = 1000,
    **more: Any,
) -> Turn:
    """`more`: other fields of a Turn."""
    state = DeviceState(
        governor=None, clock_mhz=None, temperature_c=None, throttled=throttled, load_1m=load_1m
    )
    return Turn(
        init_time_ms=init_time_ms,
        first_inference_ms=2.0,
        warmup_ms=(),
        latency_ms=tuple(latency_ms),
        peak_rss_bytes=peak_rss_bytes,
        runtime_rss_bytes=5000,
        threads=1,
        before=state,
        after=state,
        versions={},
        **more,
    )


def conditions(wall_s: float = 1.0, **fields: Any) -> Conditions:
    """Those of a quiet machine; `fields` are what was otherwise."""
    quiet = {
        "cpu_s": wall_s,
        "waited_s": 0.0,
        "others_s": 0.0,
        "stolen_s": 0.0,
        "cores": 4,
        "quota_cores": None,
        "quota_s": 0.0,
        "switches": 0,
        "major_faults": 0,
        "read_bytes": 0,
        "swapped_pages": 0,
        "stops": 0,
        "suspended_s": 0.0,
        "clock_mhz_first": 1800.0,
        "clock_mhz_last": 1800.0,
    }
    return Conditions(wall_s=wall_s, **{**quiet, **fields})
