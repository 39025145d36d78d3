"""Kernels with weights: what the converter leaves in float though torch has quantised it, becomes
int8. Run by `litert_passes`, as its own rewrites are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgecompress.formats.tflite.graph import (
    Array,
    Graph,
    Operator,
    QParams,
    Tensor,
    integers_of,
    like,
)
from edgecompress.formats.tflite.ops import WEIGHTED

NEARLY_ONE = 1 + 2.0**-20
"""Marks the input of a layer that stays in float."""
_FUSED = {"RELU": 1, "RELU6": 3}


@dataclass(frozen=True)
class Weight:
    """A weight of the torch graph, by which an operator of the file finds its layer."""

    path: str
    """Where the layer is in the user's model."""
    values: tuple[NDArray[np.float32], ...]
    """Before Q/DQ, and after it where there is one; sorted, because layouts differ. The converter
    keeps either."""
    scale: NDArray[np.float32] | None
    """[1] or [output channels]; None where it stays in float."""


def real_values(tensor: Tensor) -> NDArray[np.float32]:
    """What the constant stands for, in its shape."""
    assert tensor.data is not None
    values = tensor.data.astype(np.float32)
    qparams = tensor.qparams
    if qparams is None:
        return values
    shape = [1] * values.ndim
    if qparams.scale.size > 1:
        shape[qparams.axis] = -1
    zero_point = qparams.zero_point.astype(np.float32)
    real = (values - zero_point.reshape(shape)) * qparams.scale.reshape(shape)
    return real.astype(np.float32)


def match(tensor: Tensor | None, weights: Sequence[Weight]) -> Weight | None:
    """The torch weight that has the values of `tensor`, in whatever order."""
    if tensor is None or tensor.data is None:
        return None
    candidates = [weight for weight in weights if weight.values[0].size == tensor.data.size]
    if not candidates or tensor.data.size == 0:
        return None
    values = np.sort(real_values(tensor), axis=None)
    tolerance = 1e-5 * float(np.abs(values).max())
    for weight in candidates:
        if any(np.abs(theirs - values).max() <= tolerance for theirs in weight.values):
            return weight
    return None


def fold_constants(graph: Graph, op: Operator) -> bool:
    """The converter leaves some weights and masks to be computed at every inference."""
    inputs = [x for x in op.inputs if x is not None]
    folded = _FOLDED.get(op.op_type)
    if folded is None or any(x.data is None for x in inputs) or op.outputs[0] in graph.outputs:
        return False
    output = op.outputs[0]
    data = np.ascontiguousarray(folded(inputs)).reshape(output.shape)
    graph.redirect(output, replace(output, data=data))
    return True


def _reversed(inputs: list[Tensor]) -> Array:
    turned: Array = np.flip(_data(inputs[0]), tuple(integers_of(inputs[1]) or ()))
    return turned


def _transposed(inputs: list[Tensor]) -> Array:
    moved: Array = _data(inputs[0]).transpose(integers_of(inputs[1]) or [])
    return moved


def _data(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return tensor.data


def _selected(inputs: list[Tensor]) -> Array:
    condition, first, second = map(_data, inputs)
    chosen: Array = np.where(condition, first, second)
    return chosen


_FOLDED = {
    "DEQUANTIZE": lambda inputs: real_values(inputs[0]),
    "RESHAPE": lambda inputs: _data(inputs[0]),
    "REVERSE_V2": _reversed,
    "SELECT_V2": _selected,
    "TRANSPOSE": _transposed,
}


def forget_factor(graph: Graph, op: Operator) -> bool:
    if op.op_type != "MUL" or not is_number(op.inputs[1], NEARLY_ONE, 0):
        return False
    graph.redirect(op.outputs[0], op.data)
    return True


def fuse_activation(graph: Graph, op: Operator) -> bool:
    """RELU and RELU6 behind a kernel with weights are done by it."""
    before = graph.producer(op.inputs[0]) if op.op_type in _FUSED else None
    if before is None or before.op_type not in WEIGHTED or before.options is None:
        return False
    if before.options.fusedActivationFunction or graph.only_reader(op.data) is not op:
        return False
    if op.data.qparams is not None and not op.data.qparams.same_as(op.outputs[0].qparams):
        return False
    before.options.fusedActivationFunction = _FUSED[op.op_type]
    before.outputs = op.outputs
    if before.op_type == "TRANSPOSE_CONV":
        before.version = max(before.version, 4)
    graph.operators.remove(op)
    return True


def crop_late(graph: Graph, op: Operator) -> bool:
    """TRANSPOSE_CONV, SLICE, then RELU or QUANTIZE: SLICE last, so that they meet their kernel."""
    crop = graph.producer(op.inputs[0]) if op.op_type in (*_FUSED, "QUANTIZE") else None
    if crop is None or crop.op_type not in ("SLICE", "STRIDED_SLICE"):
        return False
    before, output = graph.producer(crop.data), op.outputs[0]
    if before is None or before.op_type not in ("TRANSPOSE_CONV", crop.op_type, *_FUSED):
        return False
    if graph.only_reader(op.data) is not op:
        return False
    middle = like(output, f"{output.name}/whole", crop.data.shape)
    op.inputs[0], op.outputs = crop.data, [middle]
    late = Operator(crop.op_type, [middle, *crop.inputs[1:]], [output], crop.version, crop.options)
    graph.operators.insert(graph.operators.index(op) + 1, late)
    return True


def quantize_weights(graph: Graph, op: Operator, weights: Sequence[Weight]) -> bool:
    """DEQUANTIZE -> kernel with float weights -> QUANTIZE, where torch has quantised the weights:
    the int8 kernel, with the scales that torch has.
    """
    if op.op_type not in WEIGHTED:
        return False
    data_at, weight_at, bias_at, axis = WEIGHTED[op.op_type]
    before, after = graph.producer(op.inputs[data_at]), graph.only_reader(op.outputs[0])
    weight = op.inputs[weight_at]
    bias = op.inputs[bias_at] if len(op.inputs) > bias_at else None
    if before is None or before.op_type != "DEQUANTIZE" or weight is None:
        return False
    if after is None or after.op_type != "QUANTIZE" or weight.dtype != "float32":
        return False
    found, x = match(weight, weights), before.data.qparams
    if found is None or found.scale is None or x is None or weight.data is None:
        return False
    integers = _integers(weight.data, found.scale, axis)
    if integers is None or (bias is not None and bias.data is None):
        return False
    scale = np.broadcast_to(found.scale, weight.shape[axis : axis + 1]).copy()
    zeros = np.zeros(scale.shape, np.int64)
    op.inputs[data_at] = before.data
    quantized = QParams(scale, zeros, axis)
    op.inputs[weight_at] = Tensor(weight.name, weight.shape, "int8", integers, quantized)
    if bias is not None and bias.data is not None:
        steps = (x.scale * scale).astype(np.float32)
        sums = np.round(bias.data.reshape(-1).astype(np.float64) / steps).astype(np.int32)
        op.inputs[bias_at] = Tensor(bias.name, sums.shape, "int32", sums, QParams(steps, zeros))
    op.outputs = after.outputs
    graph.operators.remove(after)
    op.version = max(op.version, 3)
    return True


def _integers(weight: Array, scale: NDArray[np.float32], axis: int) -> NDArray[np.int8] | None:
    """As torch rounds them; None where there is not one scale per output channel."""
    shape = [1] * weight.ndim
    if scale.size > 1:
        if scale.size != weight.shape[axis]:
            return None
        shape[axis] = -1
    steps = np.round(weight.astype(np.float32) / scale.reshape(shape))
    return np.clip(steps, -128, 127).astype(np.int8)


def double_weights(graph: Graph) -> None:
    """7-bit weights as even 8-bit ones, at half the scale: the same numbers, but fixed-point
    kernels, which round twice, then round as all others do (`compress.requantize` says why).
    """
    doubled: dict[Tensor, Tensor] = {}
    for op in graph.operators:
        if op.op_type not in WEIGHTED:
            continue
        _, weight_at, bias_at, _ = WEIGHTED[op.op_type]
        weight = op.inputs[weight_at]
        bias = op.inputs[bias_at] if len(op.inputs) > bias_at else None
        if weight is None or weight.data is None or weight.dtype != "int8":
            continue
        if bias is not None and bias.data is None:
            continue
        for place in (weight_at, bias_at)[: 1 if bias is None else 2]:
            op.inputs[place] = _doubled(op.inputs[place], doubled)


def _doubled(tensor: Tensor | None, doubled: dict[Tensor, Tensor]) -> Tensor:
    assert tensor is not None
    assert tensor.data is not None
    assert tensor.qparams is not None
    if tensor not in doubled:
        halved = replace(tensor.qparams, scale=tensor.qparams.scale / np.float32(2))
        data = tensor.data * tensor.data.dtype.type(2)
        doubled[tensor] = replace(tensor, data=data, qparams=halved)
    return doubled[tensor]


def is_number(tensor: Tensor | None, number: float, tolerance: float = 1e-6) -> bool:
    data = None if tensor is None else tensor.data
    return data is not None and data.size == 1 and abs(data.item() - number) <= tolerance
