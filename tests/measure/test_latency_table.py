"""From latencies of files of one layer to those of a model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.measure.latency_table import (
    Edges,
    Fit,
    LatencyTable,
    Layer,
    edge_entries,
    edges_of,
    spread,
    steady_ms,
)
from edgecompress.spec.latency import Entry, LayerShape

CONV = LayerShape(
    kind="Conv2d",
    size=(16, 16),
    kernel_size=(3, 3),
    stride=(1, 1),
    padding=(1, 1),
    dilation=(1, 1),
)
DEPTHWISE = CONV.model_copy(update={"groups": 0})
PIXELS = 256
CALL_MS, BEFORE_MS, AFTER_MS = 0.01, 3e-6, 5e-6
"""What a file takes beside its layer: once, and for each number that goes in or comes out."""


def inside_ms(entry: Entry) -> float:
    """A layer in a model: bilinear in its channels."""
    if entry.shape.kernel_size == (1, 1):
        return 1e-4 * entry.inputs * entry.copies
    if entry.shape.groups == 0:
        return 0.002 * entry.outputs
    return 0.003 + 1e-4 * entry.inputs + 2e-4 * entry.outputs + 3e-5 * entry.inputs * entry.outputs


def alone_ms(entry: Entry) -> float:
    """A file of it, with unlike edges at its two sides."""
    pixels = np.prod(entry.shape.size)
    edges = BEFORE_MS * entry.inputs * pixels + AFTER_MS * entry.outputs * pixels
    return float(inside_ms(entry) + CALL_MS + edges)


def table(layers: dict[str, Layer]) -> LatencyTable:
    points = [
        Entry(shape=layer.shape, inputs=inputs, outputs=outputs)
        for layer in layers.values()
        for inputs, outputs in layer.points
    ]
    edges = edges_of({entry: alone_ms(entry) for entry in edge_entries(layers.values())})
    return LatencyTable(layers, {entry: alone_ms(entry) for entry in points}, edges)


channels = st.integers(1, 8).map(lambda steps: 8 * steps)


@given(channels, channels, channels)
@settings(max_examples=30, deadline=None)
def test_a_chain_takes_what_its_layers_take_and_a_constant(a: int, b: int, c: int) -> None:
    layer = Layer.of(CONV, (8, 8), (64, 64), 8)
    found = table({"first": layer, "second": layer})
    whole = {"first": (64, 64), "second": (64, 64)}
    chain = {"first": (a, b), "second": (b, c)}
    saved = found.sum_ms(whole) - found.sum_ms(chain)

    def really_ms(counts: dict[str, tuple[int, int]]) -> float:
        entries = (Entry(shape=CONV, inputs=i, outputs=o) for i, o in counts.values())
        return sum(map(inside_ms, entries))

    # The ends of the chain are edges of the file; there one side stands for the mean of both.
    ends = abs(BEFORE_MS - AFTER_MS) / 2 * PIXELS * (abs(64 - a) + abs(64 - c))
    assert saved == pytest.approx(really_ms(whole) - really_ms(chain), abs=ends + 1e-9)


def test_few_points_are_measured_and_they_are_multiples_of_the_step() -> None:
    both = Layer.of(CONV, (8, 8), (256, 200), 8)
    assert both.axes == ((8, 136, 256), (8, 104, 200))
    assert len(both.points) == 9
    one = Layer.of(CONV, (3, 16), (3, 150), 16)
    assert one.axes[0] == (3,)
    assert one.axes[1] == (16, 48, 80, 128, 150)
    assert Layer.of(CONV, (16, 16), (16, 16), 8).points == [(16, 16)]


def test_counts_of_a_grouped_layer_are_multiples_of_its_groups() -> None:
    shape = LayerShape(kind="Conv2d", size=(8, 8), kernel_size=(1, 1), stride=(1, 1), groups=12)
    layer = Layer.of(shape, (24, 12), (96, 96), 8)
    assert len(layer.points) > 4
    assert all(count % 12 == 0 for point in layer.points for count in point)


def test_both_sides_of_a_depthwise_layer_are_one() -> None:
    layer = Layer.of(DEPTHWISE, (8, 8), (64, 64), 8)
    assert all(inputs == outputs for inputs, outputs in layer.points)
    assert len(layer.points) == 5
    found = table({"it": layer})
    half = inside_ms(Entry(shape=DEPTHWISE, inputs=24, outputs=24))
    whole = inside_ms(Entry(shape=DEPTHWISE, inputs=64, outputs=64))
    edges = (BEFORE_MS + AFTER_MS) * PIXELS * 40
    saved = found.sum_ms({"it": (0, 64)}) - found.sum_ms({"it": (0, 24)})
    # Its edges are taken off; a model may have them inside or not.
    assert saved == pytest.approx(whole - half, abs=edges)
    assert saved == pytest.approx(whole - half, abs=1e-9)


def test_edges_cost_no_less_than_nothing() -> None:
    edges = Edges({"conv": [(100, 0.002), (200, 0.001)]})
    assert edges.ms("conv", 100) == pytest.approx(0.002)
    assert edges.ms("conv", 10_000) == 0
    assert edges.ms("linear", 100) == 0


def test_edges_that_cost_more_than_the_layer_leave_nothing_of_it() -> None:
    layer = Layer.of(CONV, (8, 8), (64, 64), 8)
    dear = Edges({CONV.family: [(1, 5.0), (2, 5.0)]})
    entries = [Entry(shape=CONV, inputs=a, outputs=b) for a, b in layer.points]
    found = LatencyTable({"conv": layer}, {entry: alone_ms(entry) for entry in entries}, dear)
    assert found.sum_ms({"conv": (8, 8)}) == 0.0


@given(
    st.floats(0.001, 100),
    st.floats(0.0, 1.0),
    st.just(0.0) | st.floats(1e-6, 100),
    st.floats(0.0, 1.0),
)
def test_a_model_is_predicted_to_take_what_was_measured_of_it(
    whole_ms: float, least: float, sum_ms: float, between: float
) -> None:
    """So is the smallest, and one between both is between them, whatever single layers take."""
    least_ms, smaller_ms = least * whole_ms, 0.3 * sum_ms
    fit = Fit.of((sum_ms, whole_ms), (smaller_ms, least_ms))
    assert fit.ms(sum_ms) == pytest.approx(whole_ms)
    if sum_ms > 0:
        assert fit.ms(smaller_ms) == pytest.approx(least_ms, abs=1e-9 * whole_ms)
    found = fit.ms(smaller_ms + between * (sum_ms - smaller_ms))
    assert least_ms - 1e-9 <= found <= whole_ms * (1 + 1e-9)


def test_where_the_smallest_is_no_faster_nothing_is() -> None:
    fit = Fit.of((2.0, 3.0), (1.0, 3.1))
    assert fit.ms(1.0) == fit.ms(1.5) == fit.ms(2.0) == 3.0


def test_what_only_adds_to_rounds_moves_them_little() -> None:
    quiet = [1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 0.98, 1.0]
    disturbed = [*quiet[:2], 2.0, 5.0, 1.7, 3.0, 2.2, 1.9]
    assert steady_ms(disturbed) == pytest.approx(steady_ms(quiet), rel=0.03)
    assert spread(disturbed) < 0.02
    assert spread([1.0, 1.5, 1.6]) == pytest.approx(0.5)
    assert spread([1.0]) == 0
