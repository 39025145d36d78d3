"""Inputs spoilt as a sensor spoils them, by an amount that goes with how much they vary."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.tensors import Array
from edgecompress.spec.looks import InputKind

SEED = 20_233

Floats = NDArray[np.float64]


def _noise(samples: Floats) -> Floats:
    """White noise, 10 dB below the signal's own variation."""
    generator = np.random.default_rng(SEED)
    amount = samples.std() * 10 ** (-10 / 20)
    return np.asarray(samples + amount * generator.standard_normal(samples.shape))


def _blur(samples: Floats) -> Floats:
    """Weights 1, 2, 1 along both sides of an image, three times; edges are repeated."""
    for _ in range(3):
        for axis in (-2, -1):
            width = [(0, 0)] * samples.ndim
            width[axis] = (1, 1)
            padded = np.moveaxis(np.pad(samples, width, mode="edge"), axis, 0)
            samples = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return samples


def _dark(samples: Floats) -> Floats:
    """A third of the light: distances from the darkest value of the set."""
    low = samples.min()
    return np.asarray(low + (samples - low) / 3)


def _bright(samples: Floats) -> Floats:
    """Half as much again, cut off at the brightest value of the set."""
    low, high = samples.min(), samples.max()
    return np.asarray(np.minimum(low + (samples - low) * 1.5, high))


def _quiet(samples: Floats) -> Floats:
    """A third of the amplitude."""
    return np.asarray(samples / 3)


_OF: Mapping[InputKind, Mapping[str, Callable[[Floats], Floats]]] = {
    "image": {"noise": _noise, "blur": _blur, "dark": _dark, "bright": _bright},
    "series": {"noise": _noise, "quiet": _quiet},
    "table": {"noise": _noise},
    "tokens": {},
}
CORRUPTIONS = tuple(dict.fromkeys(name for known in _OF.values() for name in known))


def corrupted(samples: Array, kind: InputKind) -> dict[str, Array]:
    """[N, ...] of each corruption that there is for this kind of input, in its type."""
    found: dict[str, Array] = {}
    for name, spoil in _OF[kind].items():
        spoilt = spoil(samples.astype(np.float64))
        if samples.dtype.kind in "iu":
            limits = np.iinfo(samples.dtype.name)
            spoilt = spoilt.round().clip(limits.min, limits.max)
        found[name] = spoilt.astype(samples.dtype)
    return found
