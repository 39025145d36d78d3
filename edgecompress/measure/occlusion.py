"""Covering parts of an input, and what the outputs make of it.

The only way to see where a file looks that has no gradients: cover a part, infer, and see how much
the output changes (Zeiler and Fergus, 2014).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgecompress.measure.tensors import Array
from edgecompress.spec.looks import InputKind, Map

GRID = 5
"""Patches along each side of an image."""
WINDOWS = 16
"""Parts of a series or of tokens."""
MOST_COLUMNS = 32
"""Columns of a table that are covered one by one, or channels of an image or a series."""
FLOOR = 0.05
"""Responses below this share of the greatest are none: their order is that of noise."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Covers:
    """How parts of one input are covered."""

    kind: InputKind
    shape: tuple[int, int]
    """Rows and columns of the map."""
    masks: NDArray[np.bool_]
    """[parts, ...]: what each covers, of the map's first, then of `channels`."""
    channels: tuple[str, ...]

    def stack(self, sample: Array, fill: Array) -> Array:
        """[1 + parts, ...]: the sample as it is, then with each part covered."""
        covered = np.where(self.masks, fill[None], sample[None])
        stacked: Array = np.concatenate([sample[None], covered]).astype(sample.dtype)
        return stacked


def kind_of(samples: Array) -> InputKind | None:
    """What an input [N, ...] is, by its type and shape; None where nothing is known of it."""
    shape = samples.shape[1:]
    if samples.dtype.kind not in "iuf":
        return None
    if len(shape) == 3 and min(shape[1:]) >= 4:
        return "image"
    if samples.dtype.kind != "f":
        return "tokens" if len(shape) == 1 else None
    if len(shape) == 1 and shape[0] <= MOST_COLUMNS:
        return "table" if shape[0] > 1 else None
    return "series" if len(shape) in (1, 2) and shape[-1] >= 4 else None


def covers(samples: Array, kind: InputKind) -> Covers:
    """The parts of an input [N, ...] of that kind."""
    shape = samples.shape[1:]
    if kind == "image":
        rows, columns = (min(GRID, size) for size in shape[1:])
        bands = [_bands(size, count) for size, count in ((shape[1], rows), (shape[2], columns))]
        masks = [np.zeros(shape, bool) for _ in range(rows * columns)]
        for index, mask in enumerate(masks):
            (top, bottom), (left, right) = bands[0][index // columns], bands[1][index % columns]
            mask[:, top:bottom, left:right] = True
    else:
        rows, columns = 1, min(MOST_COLUMNS if kind == "table" else WINDOWS, shape[-1])
        masks = [np.zeros(shape, bool) for _ in range(columns)]
        for mask, (left, right) in zip(masks, _bands(shape[-1], columns), strict=True):
            mask[..., left:right] = True
    channels = shape[0] if len(shape) > 1 and 1 < shape[0] <= MOST_COLUMNS else 0
    for channel in range(channels):
        mask = np.zeros(shape, bool)
        mask[channel] = True
        masks.append(mask)
    names = tuple(f"channel {channel}" for channel in range(channels))
    if kind == "table":
        names = tuple(f"column {column}" for column in range(columns))
    return Covers(kind, (rows, columns), np.stack(masks), names)


def _bands(size: int, count: int) -> list[tuple[int, int]]:
    edges = [size * index // count for index in range(count + 1)]
    return list(pairwise(edges))


def fill_of(samples: Array, kind: InputKind) -> Array:
    """What covers: the mean of all samples at that place, which is the least news; 0 of tokens."""
    if kind == "tokens":
        return np.zeros_like(samples[0])
    mean: Array = samples.mean(axis=0).astype(samples.dtype)
    return mean


def responses(outputs: Floats, answer: int | None) -> Floats:
    """[parts], the change of an output by each part.

    Args:
        outputs: [1 + parts, numbers], of the whole input first.
        answer: the class whose score counts, above the mean of all; None: all numbers.

    """
    if answer is not None:
        above = outputs[:, answer] - outputs.mean(axis=1)
        return np.asarray(above[0] - above[1:])
    return np.asarray(np.linalg.norm(outputs[1:] - outputs[0], axis=1))


def as_map(values: Floats, shape: tuple[int, int]) -> Map:
    """Rows of a map, scaled so that the greatest is 1 or -1."""
    most = float(np.abs(values).max())
    scaled = values / most if most > 0 else values
    return tuple(tuple(round(float(x), 3) for x in row) for row in scaled.reshape(shape))


def agreement(before: Floats, after: Floats) -> float | None:
    """Spearman's correlation of two maps; None where one is flat. Ties have their mean rank."""
    first, second = (_ranks(_above_floor(values)) for values in (before, after))
    first, second = first - first.mean(), second - second.mean()
    size = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size > 0 else None


def _above_floor(values: Floats) -> Floats:
    return np.where(np.abs(values) < FLOOR * np.abs(values).max(), 0.0, values)


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
