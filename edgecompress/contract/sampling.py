"""From one sampling rate to another, properly and as it is often done."""

import math

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]
"""[channels, samples]."""

_CROSSINGS = 32
"""Zero crossings of the filter on each side."""
_BETA = 8.0
"""Kaiser's window: 80 dB."""
_PASSED = 0.92
"""At this share of half the lower rate the filter falls through its middle; above all of that
nothing is left."""
_AT_ONCE = 1 << 22


def resampled(wave: Wave, rate_hz: int, wanted_hz: int) -> Wave:
    """What a sound of `rate_hz` is at `wanted_hz`, without what that cannot hold: a windowed sinc,
    and silence before and after.
    """
    if rate_hz == wanted_hz:
        return wave
    shared = math.gcd(rate_hz, wanted_hz)
    up, down = wanted_hz // shared, rate_hz // shared
    narrower = _PASSED * min(1.0, up / down)
    half = math.ceil(_CROSSINGS / narrower)
    filters = _filters(up, half, narrower)
    padded = np.pad(wave, ((0, 0), (half, half)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half, axis=1)
    count = -(-wave.shape[1] * up // down)
    result = np.empty((len(wave), count))
    for places in np.array_split(np.arange(count), -(-count * 2 * half // _AT_ONCE)):
        whole, phase = np.divmod(places * down, up)
        # A window begins `half` - 1 samples before the one that a place falls on.
        result[:, places] = np.einsum("cpt,pt->cp", windows[:, whole + 1], filters[phase])
    return result


def interpolated(wave: Wave, rate_hz: int, wanted_hz: int) -> Wave:
    """On the line between two samples: what lies above half of `wanted_hz` is mirrored."""
    count = -(-wave.shape[1] * wanted_hz // rate_hz)
    places = np.arange(count) * rate_hz / wanted_hz
    return np.stack([np.interp(places, np.arange(wave.shape[1]), row) for row in wave])


def nearest(wave: Wave, rate_hz: int, wanted_hz: int) -> Wave:
    """Samples that are left out, or given several times."""
    count = -(-wave.shape[1] * wanted_hz // rate_hz)
    return wave[:, np.arange(count) * rate_hz // wanted_hz]


def _filters(up: int, half: int, narrower: float) -> Wave:
    """[up, 2 * half]: for each place between two samples, what its neighbours count."""
    places = np.arange(2 * half) - (half - 1) - np.arange(up)[:, None] / up
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (places / half) ** 2, 0, None))) / np.i0(_BETA)
    filters: Wave = narrower * np.sinc(narrower * places) * window
    filters /= filters.sum(axis=1, keepdims=True)
    return filters
