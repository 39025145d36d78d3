"""int8 files that are spoiled on purpose, each in one way, as a broken converter or disk would.

What is spoiled lies in the middle of the network, unless its name says where.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]


@dataclass
class Numbers:
    """One weighted operator, as arrays to be changed in place; scales are per channel."""

    weight: Array
    """[outputs, ...]"""
    scale: Array
    bias: Array | None


@dataclass
class Opened:
    """What spoils change, whatever the format."""

    layers: list[Numbers]
    scales: list[Array]
    """Those of activations, in the order of execution: the input's first, the output's last."""
    zero_points: list[Array]


Spoil = Callable[[Opened], None]


def _middle(opened: Opened) -> Numbers:
    """A layer with several inputs and outputs per channel."""
    several = [x for x in opened.layers if x.weight[0].size > 1 and len(x.weight) > 3]
    return several[len(several) // 2]


def _one_scale(factor: float) -> Spoil:
    def spoil(opened: Opened) -> None:
        _middle(opened).scale.reshape(-1)[0] *= factor

    return spoil


def _layer_scale(factor: float) -> Spoil:
    def spoil(opened: Opened) -> None:
        _middle(opened).scale[...] *= factor

    return spoil


def _rolled_scales(opened: Opened) -> None:
    scale = _middle(opened).scale
    scale[...] = np.roll(scale, 1)


def _flipped_bit(bit: int) -> Spoil:
    def spoil(opened: Opened) -> None:
        flat = _middle(opened).weight[1].reshape(-1)
        # The largest: a weight that hardly counts would prove nothing.
        at = int(np.abs(flat.astype(np.int32)).argmax())
        flat.view(np.uint8)[at] ^= np.uint8(1 << bit)

    return spoil


def _zeroed(at: int) -> Spoil:
    def spoil(opened: Opened) -> None:
        (opened.layers[-1] if at else _middle(opened)).weight[1] = 0

    return spoil


def _swapped(opened: Opened) -> None:
    weight = _middle(opened).weight
    weight[[0, 1]] = weight[[1, 0]]


def _turned(opened: Opened) -> None:
    weight = _middle(opened).weight
    weight[...] = weight.reshape(len(weight), -1)[:, ::-1].reshape(weight.shape)


def _saturated(opened: Opened) -> None:
    weight = _middle(opened).weight
    weight[...] = np.clip(weight, -31, 31)


def _bias(change: Callable[[Array], None], last: bool = False) -> Spoil:
    def spoil(opened: Opened) -> None:
        found = [x.bias for x in opened.layers if x.bias is not None and x.bias.any()]
        change(found[-1] if last else found[len(found) // 2])

    return spoil


def _drop_largest(bias: Array) -> None:
    bias[np.abs(bias).argmax()] = 0


def _drop_all(bias: Array) -> None:
    bias[...] = 0


def _swap_two(bias: Array) -> None:
    low, high = bias.argmin(), bias.argmax()
    bias[[low, high]] = bias[[high, low]]


def _scale(at: float, factor: float) -> Spoil:
    def spoil(opened: Opened) -> None:
        scales = opened.scales
        scales[min(int(at * len(scales)), len(scales) - 1)][...] *= factor

    return spoil


def _zero_point(at: float, by: int) -> Spoil:
    def spoil(opened: Opened) -> None:
        points = opened.zero_points
        point = points[min(int(at * len(points)), len(points) - 1)]
        info = np.iinfo(point.dtype)
        moved = point.astype(np.int64) + by
        point[...] = np.where((moved > info.max) | (moved < info.min), moved - 2 * by, moved)

    return spoil


SPOILS: dict[str, Spoil] = {
    "weight scale of a channel x 1.1": _one_scale(1.1),
    "weight scale of a channel x 2": _one_scale(2.0),
    "weight scales of a layer x 1.1": _layer_scale(1.1),
    "weight scales of a layer x 0.5": _layer_scale(0.5),
    "weight scales of a layer rolled": _rolled_scales,
    "lowest bit of a weight": _flipped_bit(0),
    "bit 4 of a weight": _flipped_bit(4),
    "sign of a weight": _flipped_bit(7),
    "a channel's weights zero": _zeroed(0),
    "a class's weights zero": _zeroed(1),
    "two channels swapped": _swapped,
    "kernels turned round": _turned,
    "weights saturated": _saturated,
    "a channel's bias dropped": _bias(_drop_largest),
    "a layer's bias dropped": _bias(_drop_all),
    "a class's bias dropped": _bias(_drop_largest, last=True),
    "two biases swapped": _bias(_swap_two),
    "scale inside x 1.1": _scale(0.5, 1.1),
    "scale inside x 2": _scale(0.5, 2.0),
    "zero point inside + 3": _zero_point(0.5, 3),
    "zero point inside + 10": _zero_point(0.5, 10),
    "input scale x 1.1": _scale(0.0, 1.1),
    "input zero point + 3": _zero_point(0.0, 3),
    "output scale x 1.1": _scale(1.0, 1.1),
    "output zero point + 3": _zero_point(1.0, 3),
}


def spoil_onnx(path: Path, to: Path, name: str) -> None:
    """Write `path`, spoiled, to another file."""
    model = onnx.load(path)
    constants = {x.name: numpy_helper.to_array(x).copy() for x in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    opened = Opened([], [], [])
    done: set[str] = set()

    def shared(key: str, into: list[Array]) -> None:
        if key in constants and key not in done and not done.add(key):  # type: ignore[func-returns-value]
            into.append(constants[key])

    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            behind = producers.get(node.input[1])
            while behind is not None and behind.op_type == "Transpose":
                behind = producers.get(behind.input[0])
            if behind is None or behind.input[0] not in constants:
                continue
            bias = None
            if len(node.input) > 2:
                before = producers.get(node.input[2])
                bias = constants[node.input[2] if before is None else before.input[0]]
            opened.layers.append(
                Numbers(constants[behind.input[0]], constants[behind.input[1]], bias)
            )
        elif node.op_type == "QuantizeLinear":
            shared(node.input[1], opened.scales)
            shared(node.input[2], opened.zero_points)
    _apply(opened, name)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(constants[tensor.name], tensor.name))
    onnx.save(model, to)


def spoil_tflite(path: Path, to: Path, name: str) -> None:
    """Write `path`, spoiled, to another file."""
    from edgecompress.formats.tflite.reader import load
    from edgecompress.formats.tflite.write import write

    model = load(path)
    graph = model.graph
    opened = Opened([], [], [])
    done: set[int] = set()
    constants = {id(x): x for op in graph.operators for x in op.inputs if x is not None}
    for tensor in constants.values():
        if tensor.data is not None:
            tensor.data = tensor.data.copy()
    for op in graph.operators:
        for tensor in (*op.inputs, *op.outputs):
            if tensor is None or tensor.qparams is None or id(tensor.qparams) in done:
                continue
            done.add(id(tensor.qparams))
            for array in (tensor.qparams.scale, tensor.qparams.zero_point):
                array.setflags(write=True)
            if tensor.data is None and tensor.qparams.scale.size == 1:
                opened.scales.append(tensor.qparams.scale)
                opened.zero_points.append(tensor.qparams.zero_point)
        if op.op_type in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weight, bias = op.inputs[1], op.inputs[2] if len(op.inputs) > 2 else None
            if weight is None or weight.data is None or weight.qparams is None:
                continue
            data = np.moveaxis(weight.data, weight.qparams.axis, 0)
            opened.layers.append(
                Numbers(data, weight.qparams.scale, None if bias is None else bias.data)
            )
    _apply(opened, name)
    to.write_bytes(write(model))


def _apply(opened: Opened, name: str) -> None:
    opened_before = _copy(opened)
    SPOILS[name](opened)
    assert any(
        not np.array_equal(a, b) for a, b in zip(_copy(opened), opened_before, strict=True)
    ), f"{name}: nothing changed"


def _copy(opened: Opened) -> list[Array]:
    layers = [x for one in opened.layers for x in (one.weight, one.scale, one.bias)]
    return [x.copy() for x in (*layers, *opened.scales, *opened.zero_points) if x is not None]
