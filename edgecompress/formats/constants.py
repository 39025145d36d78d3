"""The numbers that a file holds of its layers, as its runtime reads them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Point = tuple[np.float32, int]
"""Scale, and zero point less the lowest integer: what uint8 and int8 have in common."""


@dataclass(frozen=True)
class Constant:
    name: str
    reals: Reals
    steps: Reals | None
    """The scale of each; None where it is float."""


@dataclass(frozen=True)
class Layer:
    """The real numbers of one weighted operator."""

    path: str
    """Where the layer is in the user's model."""
    weight: Reals
    """[outputs, ...], or as the file has its axes."""
    bias: Reals | None
    """[outputs]; None: there is none, or nothing that can be compared."""
    bias_step: Reals | None = None
    transposed: bool = False
    slack: Reals | None = None
    """How far a weight may be off: a step where an exporter that rounds float weights itself
    meets a tie, which float32 may decide either way. None: nowhere."""


@dataclass(frozen=True)
class Numbers:
    layers: tuple[Layer, ...]
    points: frozenset[Point]
    """Those of activations: all of torch's, in a file those that such layers read and write."""


def path_of(weight: Constant | None) -> str | None:
    """Where the layer is in the user's model: exporters name its weight so."""
    return None if weight is None else weighted_layer(weight.name)


def weighted_layer(weight: str | None) -> str | None:
    """The layer whose weight has that name."""
    path, dot, what = (weight or "").rpartition(".")
    return path if dot and what == "weight" else None


def layer_of(path: str, weight: Constant, bias: Constant | None) -> Layer:
    if bias is None:
        return Layer(path, weight.reals, None)
    return Layer(path, weight.reals, bias.reals.reshape(-1), bias.steps)


def along(numbers: NDArray[np.generic], rank: int, axis: int | None) -> Reals:
    """Scales or zero points in a shape that broadcasts over a tensor of that rank."""
    wide: Reals = numbers.astype(np.float64)
    if axis is None:
        return wide.reshape(())
    return wide.reshape([-1 if at == axis else 1 for at in range(rank)])
