"""Rewrites of a TFLite graph: what they leave, and that it computes what it did before."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

from ai_edge_litert import schema_py_generated
from ai_edge_litert.interpreter import Interpreter

from edgecompress.formats.tflite.graph import (
    Graph,
    Model,
    Operator,
    QParams,
    Signature,
    Tensor,
    constant,
    options,
    per_tensor,
)
from edgecompress.formats.tflite.reader import parse
from edgecompress.formats.tflite.write import write
from edgecompress.runtimes.litert.passes import run_passes
from edgecompress.runtimes.litert.passes.kernels import Weight
from edgecompress.runtimes.litert.passes.transposes import reshape

STEPS = per_tensor(0.05, -3)


def tensor(*shape: int, qparams: QParams | None = STEPS) -> Tensor:
    return Tensor("t", shape, "float32" if qparams is None else "int8", None, qparams)


def chain(*operators: Operator) -> Graph:
    (x,) = (x for x in operators[0].inputs if x is not None and x.data is None)
    return Graph([x], [operators[-1].outputs[0]], list(operators))


def transpose(x: Tensor, *order: int) -> Operator:
    out = Tensor("t", tuple(x.shape[axis] for axis in order), x.dtype, None, x.qparams)
    return Operator("TRANSPOSE", [x, constant("p", order)], [out], 2, options("TransposeOptions"))


def pad(x: Tensor, *widths: tuple[int, int]) -> Operator:
    shape = tuple(size + sum(ends) for size, ends in zip(x.shape, widths, strict=True))
    out = Tensor("t", shape, x.dtype, None, x.qparams)
    return Operator("PAD", [x, constant("w", widths)], [out], 2, options("PadOptions"))


def convolution(x: Tensor, stride: int, channels: int = 4) -> Operator:
    weight = np.random.default_rng(0).integers(-127, 128, (channels, 3, 3, x.shape[3]))
    zeros, scale = np.zeros(channels, np.int64), np.linspace(0.01, 0.02, channels).astype("float32")
    steps = QParams((scale * np.float32(0.05)).astype("float32"), zeros)
    kernel = Tensor("w", weight.shape, "int8", weight.astype("int8"), QParams(scale, zeros))
    bias = Tensor("b", (channels,), "int32", np.arange(channels, dtype="int32"), steps)
    height, width = ((size - 3) // stride + 1 for size in x.shape[1:3])
    out = tensor(1, height, width, channels, qparams=per_tensor(0.4, 7))
    chosen = options("Conv2DOptions", padding=1, strideH=stride, strideW=stride)
    chosen.dilationHFactor = chosen.dilationWFactor = 1
    return Operator("CONV_2D", [x, kernel, bias], [out], 3, chosen)


def requantize(x: Tensor, qparams: QParams) -> Operator:
    return Operator("QUANTIZE", [x], [tensor(*x.shape, qparams=qparams)], 2)


def strided(x: Tensor, begin: list[int], stride: list[int]) -> Operator:
    ends = [0 if s < 0 else size for size, s in zip(x.shape, stride, strict=True)]
    kept = [
        len(range(*slice(b, None, s).indices(n)))
        for b, s, n in zip(begin, stride, x.shape, strict=True)
    ]
    chosen = options("StridedSliceOptions")
    chosen.endMask = sum(1 << axis for axis, s in enumerate(stride) if s < 0)
    places = [constant("s", column) for column in (begin, ends, stride)]
    return Operator("STRIDED_SLICE", [x, *places], [tensor(*kept)], 2, chosen)


def named(graph: Graph) -> Model:
    return Model([graph], [Signature(("x",), ("y",))])


def run(graph: Graph) -> NDArray[np.float64]:
    """Real outputs for one random input, by the reference of all: LiteRT itself."""
    content = write(named(graph))
    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
    (info,) = runner.get_input_details().values()
    x = np.random.default_rng(1).integers(-128, 128, info["shape"]).astype(info["dtype"])
    values = runner(x=x)["y"].astype(np.float64)
    scale, zero_point = runner.get_output_details()["y"]["quantization"]
    return (values - zero_point) * scale if scale else values


def rewritten(
    make: Callable[[], Graph], weights: tuple[Weight, ...] = (), within: float = 0.0
) -> dict[str, int]:
    """Operators left; outputs must be the same, or apart by no more than `within`."""
    before = run(make())
    graph = make()
    run_passes(graph, weights)
    assert np.abs(run(graph) - before).max() <= within
    return dict(Counter(op.op_type for op in graph.operators))


@pytest.mark.parametrize(
    ("stride", "ends", "size", "left"),
    [
        (1, (1, 1), 8, {"CONV_2D": 1}),
        (2, (0, 1), 8, {"CONV_2D": 1}),
        (2, (1, 1), 9, {"CONV_2D": 1}),
        (2, (1, 1), 8, {"PAD": 1, "CONV_2D": 1}),  # SAME begins a column later
        (1, (2, 0), 8, {"PAD": 1, "CONV_2D": 1}),
    ],
)
def test_padding_becomes_same_where_it_is(
    stride: int, ends: tuple[int, int], size: int, left: dict[str, int]
) -> None:
    def make() -> Graph:
        widths = pad(tensor(1, size, size, 2), (0, 0), ends, ends, (0, 0))
        return chain(widths, convolution(widths.outputs[0], stride))

    assert rewritten(make) == left


@pytest.mark.parametrize(("size", "left"), [(9, {"CONV_2D": 1}), (8, {"PAD": 1, "CONV_2D": 1})])
def test_an_image_of_one_channel_is_padded_behind_its_reshape(
    size: int, left: dict[str, int]
) -> None:
    def make() -> Graph:
        first = reshape(tensor(1, size, size, 1), tensor(1, 1, size, size))
        widths = pad(first.outputs[0], (0, 0), (0, 0), (1, 1), (1, 1))
        again = reshape(widths.outputs[0], tensor(1, size + 2, size + 2, 1))
        return chain(first, widths, again, convolution(again.outputs[0], 2))

    assert rewritten(make) == left


def test_what_lies_between_two_transposes_is_done_without_them() -> None:
    def make() -> Graph:
        first = transpose(tensor(1, 6, 6, 4), 0, 3, 1, 2)
        padded = pad(first.outputs[0], (0, 0), (2, 1), (0, 0), (0, 3))
        finer = requantize(padded.outputs[0], per_tensor(0.04, 5))
        cut = strided(finer.outputs[0], [0, 1, 0, 0], [1, 2, 1, 1])
        cut.outputs[0].qparams = finer.outputs[0].qparams
        last = transpose(cut.outputs[0], 0, 2, 3, 1)
        return chain(first, padded, finer, cut, last)

    assert rewritten(make) == {"PAD": 1, "QUANTIZE": 1, "STRIDED_SLICE": 1}


def test_several_transposed_operands_share_one_transpose() -> None:
    def make() -> Graph:
        x = tensor(1, 6, 6, 4)
        left, right = transpose(x, 0, 3, 1, 2), transpose(x, 0, 3, 1, 2)
        shifts = np.arange(4, dtype="int8").reshape(4, 1, 1)
        shift = Tensor("c", (4, 1, 1), "int8", shifts, per_tensor(0.5, 0))
        added = Operator("ADD", [right.outputs[0], shift], [tensor(1, 4, 6, 6)], 2)
        added.options = options("AddOptions")
        both = Operator("CONCATENATION", [left.outputs[0], added.outputs[0]], [tensor(1, 8, 6, 6)])
        both.version, both.options = 2, options("ConcatenationOptions", axis=1)
        return Graph([x], both.outputs, [left, right, added, both])

    assert rewritten(make) == {"ADD": 1, "CONCATENATION": 1, "TRANSPOSE": 1}


def test_slices_of_several_axes_are_one_and_none_is_lost() -> None:
    def make(second: list[int]) -> Graph:
        first = strided(tensor(1, 8, 8, 3), [0, 0, 0, 0], [1, 2, 1, 1])
        begin = [0 if stride > 0 else -1 for stride in second]
        return chain(first, strided(first.outputs[0], begin, second))

    assert rewritten(lambda: make([1, 1, 2, 1])) == {"STRIDED_SLICE": 1}
    assert rewritten(lambda: make([1, 2, 1, 1])) == {"STRIDED_SLICE": 2}
    assert rewritten(lambda: make([1, 1, -1, 1])) == {"STRIDED_SLICE": 2}


def test_float_weights_that_torch_has_quantised_become_integers() -> None:
    def make() -> Graph:
        inner = convolution(tensor(1, 8, 8, 2), 1)
        data, (weight, bias) = inner.inputs[0], inner.inputs[1:]
        assert data is not None
        assert weight is not None
        assert bias is not None
        scale = weight.qparams.scale.reshape(-1, 1, 1, 1)
        real = tensor(*data.shape, qparams=None)
        floats = Tensor("w", weight.shape, "float32", (weight.data * scale).astype("float32"))
        sums = Tensor("b", bias.shape, "float32", np.zeros(bias.shape, "float32"))
        before = Operator("DEQUANTIZE", [data], [real], 2)
        wide = tensor(*inner.outputs[0].shape, qparams=None)
        inner.inputs, after = [real, floats, sums], requantize(wide, per_tensor(0.4, 7))
        inner.outputs, inner.version, after.version = [wide], 1, 1
        return chain(before, inner, after)

    kernel = make().operators[1].inputs[1]
    assert kernel is not None
    values = np.sort(kernel.data, axis=None)
    known = Weight("layer", (values,), np.linspace(0.01, 0.02, 4).astype("float32"))
    assert rewritten(make, (known,), within=0.4) == {"CONV_2D": 1}
    other = Weight("layer", (values + 0.1,), known.scale)
    assert rewritten(make, (other,)) == {"DEQUANTIZE": 1, "CONV_2D": 1, "QUANTIZE": 1}


def test_a_kernel_that_keeps_the_scale_is_followed_by_one_that_changes_it() -> None:
    def resized(qparams: QParams) -> Graph:
        x = tensor(1, 4, 4, 2)
        op = Operator("RESIZE_BILINEAR", [x, constant("size", [6, 8])], [], 3)
        op.outputs = [tensor(1, 6, 8, 2, qparams=qparams)]
        op.options = options("ResizeBilinearOptions", halfPixelCenters=True)
        return chain(op)

    finer = per_tensor(0.02, 5)
    graph = resized(finer)
    run_passes(graph, ())
    assert [op.op_type for op in graph.operators] == ["RESIZE_BILINEAR", "QUANTIZE"]
    inside = np.clip(run(resized(STEPS)), -133 * 0.02, 122 * 0.02)
    assert np.abs(run(graph) - inside).max() <= 0.0101


def test_constants_are_aligned_and_survive() -> None:
    graph = chain(convolution(tensor(1, 8, 8, 2), 2))
    content = write(named(graph))
    model = schema_py_generated.Model.GetRootAs(content, 0)
    places = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            places.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert len(places) == 2
    assert all(place % 16 == 0 for place in places)
    again = parse(content, "it")
    assert write(again) == content
    weights = (each.operators[0].inputs[1].data for each in (again.graph, graph))
    assert np.array_equal(*weights)
