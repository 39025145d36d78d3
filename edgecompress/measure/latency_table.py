"""Predicts the latency of a model from those of its layers, each measured alone.

A file of one layer takes more than the layer does inside of a model: it is called, its input is
quantised and laid out, its output back again. What that comes to at an edge of n numbers is found
from files of a layer and of the same layer twice: two of the first have one edge pair more than one
of the second. Half of it is taken off at either side of each layer, so that in a chain the halves
add up, whatever each of them is.

    edge(n) = 2 t(P) - t(P P)                      P: pointwise, n numbers in and out
    layer   = t(alone) - edge(n in) / 2 - edge(n out) / 2
    model   = a + b times the sum of its layers    a, b: so that two measured models fit, the whole
                                                   one and that with the fewest channels

Where what was taken off is more than the layer took, the layer takes nothing. What is in no layer,
as calls and additions, is in a; what shrinks with the layers, or is joined with them, in b.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import lcm, prod
from statistics import median
from typing import NamedTuple

import numpy as np

from edgecompress.spec.latency import Entry, LayerShape

POINTS_OF_ONE, POINTS_OF_TWO = 5, 3
"""Counts at which a layer is measured, for each side that may lose channels: alone, or both."""
EDGE_SIZES = 3

Point = tuple[int, int]
"""Input and output channels."""


def steady_ms(rounds_ms: Sequence[float]) -> float:
    """What a file takes, of the medians of many short rounds: the fastest, because what disturbs a
    round, another program or a slower clock, only adds to it, and may be there most of the time.
    """
    return min(rounds_ms)


def spread(rounds_ms: Sequence[float]) -> float:
    """How much longer than the fastest round the second fastest took, as a share: whether the
    fastest is one of a kind.
    """
    fastest, *others = sorted(rounds_ms)
    return others[0] / fastest - 1 if others else 0.0


class Edges:
    """What the edges of a file cost, by family and numbers in them: linear, and never below 0."""

    def __init__(self, at: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """`at`: for each family numbers and milliseconds."""
        self._lines = {family: _line(known) for family, known in at.items() if known}

    def ms(self, family: str, numbers: int) -> float:
        """Both edges of that size together."""
        slope, constant = self._lines.get(family, (0.0, 0.0))
        return max(constant + slope * numbers, 0.0)


def _line(known: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Slope and constant."""
    sizes, times = zip(*known, strict=True)
    if len(set(sizes)) < 2:
        return 0.0, float(median(times))
    slope, constant = np.polyfit(sizes, times, 1)
    return float(slope), float(constant)


@dataclass(frozen=True)
class Layer:
    """A layer of a model, and the channel counts that it may come to have."""

    shape: LayerShape
    least: Point
    most: Point
    axes: tuple[Sequence[int], Sequence[int]]
    """Counts of inputs and outputs at which it is measured."""

    @classmethod
    def of(cls, shape: LayerShape, least: Point, most: Point, step: int) -> "Layer":
        """Measured at a few counts, multiples of `step` but for the largest, and of its groups."""
        step = lcm(step, max(shape.groups, 1))
        both = shape.groups != 0 and all(low < high for low, high in zip(least, most, strict=True))
        many = POINTS_OF_TWO if both else POINTS_OF_ONE
        inputs, outputs = (
            _axis(low, high, step, many) for low, high in zip(least, most, strict=True)
        )
        return cls(shape, least, most, (inputs, outputs))

    @property
    def points(self) -> list[Point]:
        if self.shape.groups == 0:
            return [(count, count) for count in self.axes[1]]
        return [(inputs, outputs) for inputs in self.axes[0] for outputs in self.axes[1]]


class Fit(NamedTuple):
    """From the sum of layers to a model: the line through two that were measured."""

    factor: float
    overhead_ms: float

    @classmethod
    def of(cls, whole: tuple[float, float], least: tuple[float, float]) -> "Fit":
        """`whole` and `least`: the sum of the layers and the measured latency, of the model before
        anything went and of the one with the fewest channels. Where that one is no faster, nothing
        that loses channels is.
        """
        layers_ms, saved_ms = (a - b for a, b in zip(whole, least, strict=True))
        factor = saved_ms / layers_ms if layers_ms > 0 and saved_ms > 0 else 0.0
        return cls(factor, whole[1] - factor * whole[0])

    def ms(self, sum_ms: float) -> float:
        return max(self.overhead_ms + self.factor * sum_ms, 0.0)


class LatencyTable:
    """Layers' latencies without their edges, linear between measured channel counts."""

    def __init__(
        self, layers: Mapping[str, Layer], alone_ms: Mapping[Entry, float], edges: Edges
    ) -> None:
        """`alone_ms`: of files of one layer, for every point of every layer."""
        self._layers, self._edges = layers, edges
        self._known: dict[tuple[str, Point], float] = {}
        self._grids = {
            name: _Grid(
                layer,
                {
                    (inputs, outputs): alone_ms[
                        Entry(shape=layer.shape, inputs=inputs, outputs=outputs)
                    ]
                    for inputs, outputs in layer.points
                },
            )
            for name, layer in layers.items()
        }

    def sum_ms(self, counts: Mapping[str, Point]) -> float:
        """All layers, with so many channels; 0 stands for as many as there are."""
        return sum(self._once(name, point) for name, point in counts.items())

    def _once(self, name: str, point: Point) -> float:
        """An allocation asks for the same again and again."""
        if name not in self._layers:
            return 0.0
        key = name, point
        if key not in self._known:
            self._known[key] = self._layer_ms(name, *point)
        return self._known[key]

    def _layer_ms(self, name: str, inputs: int, outputs: int) -> float:
        layer = self._layers[name]
        shape = layer.shape
        outputs = outputs if outputs else layer.most[1]
        inputs = outputs if shape.groups == 0 else inputs if inputs else layer.most[0]
        before = inputs * prod(shape.size) * shape.batch
        after = outputs * prod(shape.out_size) * shape.batch
        edges_ms = self._edges.ms(shape.family, before) + self._edges.ms(shape.family, after)
        return max(self._grids[name].ms(inputs, outputs) - edges_ms / 2, 0.0)


def edge_entries(layers: Iterable[Layer]) -> list[Entry]:
    """The files whose edges are compared: for each family a few sizes, once and twice."""
    numbers: dict[str, set[int]] = {}
    shapes: dict[str, LayerShape] = {}
    for layer in layers:
        shape = layer.shape
        shapes.setdefault(shape.family, shape)
        for inputs, outputs in (layer.least, layer.most):
            numbers.setdefault(shape.family, set()).update(
                (
                    inputs * prod(shape.size) * shape.batch,
                    outputs * prod(shape.out_size) * shape.batch,
                )
            )
    found = []
    for family, shape in shapes.items():
        for size in sorted(
            {int(x) for x in np.geomspace(min(numbers[family]), max(numbers[family]), EDGE_SIZES)}
        ):
            pointwise, channels = shape.pointwise(size)
            found += [
                Entry(shape=pointwise, inputs=channels, outputs=channels, copies=copies)
                for copies in (1, 2)
            ]
    return list(dict.fromkeys(found))


def edges_of(ms: Mapping[Entry, float]) -> Edges:
    """What those files say of edges."""
    at: dict[str, list[tuple[int, float]]] = {}
    for entry, once_ms in ms.items():
        twice = entry.model_copy(update={"copies": 2})
        if entry.copies == 1 and twice in ms:
            numbers = entry.inputs * prod(entry.shape.size)
            at.setdefault(entry.shape.family, []).append((numbers, 2 * once_ms - ms[twice]))
    return Edges(at)


def _axis(least: int, most: int, step: int, many: int) -> tuple[int, ...]:
    """At most so many counts, evenly spaced, both ends among them."""
    between = [count for count in range(-(-least // step) * step, most, step) if count > least]
    counts = [least, *between, most] if least < most else [most]
    if len(counts) <= many:
        return tuple(counts)
    places = np.linspace(0, len(counts) - 1, many).round().astype(int)
    return tuple(counts[at] for at in places)


class _Grid:
    """A function of two counts, known on a grid, bilinear in between and at its ends as there."""

    def __init__(self, layer: Layer, points: Mapping[Point, float]) -> None:
        self._points, self._axes = points, layer.axes
        # Of a depthwise layer both counts are one, so that its points form a line.
        self._is_line = layer.shape.groups == 0

    def ms(self, inputs: int, outputs: int) -> float:
        if self._is_line:
            low, high, part = _between(self._axes[1], outputs)
            return (1 - part) * self._points[low, low] + part * self._points[high, high]
        a_low, a_high, a = _between(self._axes[0], inputs)
        b_low, b_high, b = _between(self._axes[1], outputs)
        known = self._points
        return (1 - a) * ((1 - b) * known[a_low, b_low] + b * known[a_low, b_high]) + a * (
            (1 - b) * known[a_high, b_low] + b * known[a_high, b_high]
        )


def _between(axis: Sequence[int], count: int) -> tuple[int, int, float]:
    """The neighbours of a count, and how far it is from the first to the second, 0..1."""
    count = min(max(count, axis[0]), axis[-1])
    high = bisect_left(axis, count)
    if axis[high] == count:
        return count, count, 0.0
    low = axis[high - 1]
    return low, axis[high], (count - low) / (axis[high] - low)
