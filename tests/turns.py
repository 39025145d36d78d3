"""Turns with given samples, for what is computed from them."""

from collections.abc import Sequence

from edgecompress.spec.measurement import DeviceState, Turn


def make_turn(
    latency_ms: Sequence[float],
    throttled: str | None = None,
    load_1m: float | None = 0.5,
    init_time_ms: float = 10.0,
    peak_rss_bytes: int = 1000,
) -> Turn:
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
    )
