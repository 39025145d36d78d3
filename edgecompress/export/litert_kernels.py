"""What TFLite's int8 kernels want: rewrites of what the converter leaves in float or would run at
a scale that the kernels do not have. They run on the graph as `litert_passes` runs its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgecompress.export.litert_file import (
    Array,
    Graph,
    Operator,
    QParams,
    Tensor,
    constant,
    integers_of,
    like,
    options,
    per_tensor,
)

# Kernels with weights -> places of data, weights and bias among the inputs, and the dimension of
# the weights that runs over output channels.
WEIGHTED = {
    "CONV_2D": (0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (0, 1, 2, 0),
    "TRANSPOSE_CONV": (2, 1, 3, 0),
}
# int8 outputs of these have one scale and zero point that their kernels insist on.
_FIXED = {
    "LOGISTIC": per_tensor(1 / 256, -128),
    "SOFTMAX": per_tensor(1 / 256, -128),
    "TANH": per_tensor(1 / 128, 0),
}
_VALID = 1
_RELU, _RELU6 = 1, 3
_FUSED = {"RELU": _RELU, "RELU6": _RELU6}


@dataclass(frozen=True)
class Weight:
    """A weight of the torch graph, by which an operator of the file finds its layer."""

    path: str
    """Of the layer in the user's model."""
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


def give_fixed_scale(graph: Graph, op: Operator) -> bool:
    """Kernels that write one scale only do so; a QUANTIZE makes of it what the graph wants."""
    wanted = _FIXED.get(op.op_type)
    output = op.outputs[0]
    if wanted is None or output.dtype != "int8" or wanted.same_as(output.qparams):
        return False
    op.outputs = [replace(output, name=f"{output.name}/fixed", qparams=wanted)]
    quantize = Operator("QUANTIZE", [op.outputs[0]], [output], 2, options("QuantizeOptions"))
    graph.operators.insert(graph.operators.index(op) + 1, quantize)
    return True


def pool_at_any_scale(graph: Graph, op: Operator) -> bool:
    """AVERAGE_POOL_2D has one scale for what it reads and writes, so that the converter puts a
    QUANTIZE before or behind it, which saturates or rounds once more. MEAN, and a depthwise
    convolution whose weights are all alike, have two.
    """
    if op.op_type != "AVERAGE_POOL_2D" or op.options.padding != _VALID or op.data.dtype != "int8":
        return False
    before, after = graph.producer(op.data), graph.only_reader(op.outputs[0])
    x, outputs, spare = op.data, op.outputs, []
    if before is not None and before.op_type == "QUANTIZE" and before.data.dtype == "int8":
        x = before.data
    if after is not None and after.op_type == "QUANTIZE":
        outputs, spare = after.outputs, [after]
    if x is op.data and not spare:
        return False
    graph.operators[graph.operators.index(op)] = _mean(op, x, outputs)
    for other in spare:
        graph.operators.remove(other)
    return True


def _mean(pool: Operator, x: Tensor, outputs: list[Tensor]) -> Operator:
    window = (pool.options.filterHeight, pool.options.filterWidth)
    if window == x.shape[1:3]:
        chosen = options("ReducerOptions", keepDims=True)
        return Operator("MEAN", [x, constant("axes", [1, 2])], outputs, 2, chosen)
    channels = x.shape[3]
    name, shape = outputs[0].name, (1, *window, channels)
    zeros = np.zeros(channels, np.int64)
    scale = np.full(channels, 1 / (127 * window[0] * window[1]), np.float32)
    ones = np.full(shape, 127, np.int8)
    weight = Tensor(f"{name}/window", shape, "int8", ones, QParams(scale, zeros, 3))
    assert x.qparams is not None
    steps = (x.qparams.scale * scale).astype(np.float32)
    nothing = np.zeros(channels, np.int32)
    bias = Tensor(f"{name}/bias", (channels,), "int32", nothing, QParams(steps, zeros))
    chosen = options(
        "DepthwiseConv2DOptions",
        padding=_VALID,
        strideH=pool.options.strideH,
        strideW=pool.options.strideW,
        depthMultiplier=1,
        dilationHFactor=1,
        dilationWFactor=1,
        fusedActivationFunction=pool.options.fusedActivationFunction,
    )
    return Operator("DEPTHWISE_CONV_2D", [x, weight, bias], outputs, 3, chosen)


def hard_sigmoid(graph: Graph, op: Operator) -> bool:
    """relu6(x + 3) / 6 between DEQUANTIZE and QUANTIZE is relu(x / 6 + 1 / 2) in two int8 kernels:
    the first only renames x's scale, and no output is larger than 1.
    """
    after = graph.only_reader(op.outputs[0]) if op.op_type == "MUL" else None
    add = graph.producer(op.inputs[0])
    before = None if add is None or add.op_type != "ADD" else graph.producer(add.inputs[0])
    if after is None or add is None or before is None:
        return False
    if after.op_type != "QUANTIZE" or before.op_type != "DEQUANTIZE":
        return False
    if graph.only_reader(op.data) is not op or add.options.fusedActivationFunction != _RELU6:
        return False
    if not _is_number(op.inputs[1], 1 / 6) or not _is_number(add.inputs[1], 3):
        return False
    x, output = before.data, after.outputs[0]
    if x.qparams is None or output.qparams is None:
        return False
    step, zero = float(output.qparams.scale[0]), int(output.qparams.zero_point[0])
    if (127 - zero) * step > 1 + step / 2:
        return False  # saturation would not stop it at 1
    sixth = like(x, f"{output.name}/sixth", x.shape)
    sixth.qparams = replace(x.qparams, scale=(x.qparams.scale / 6).astype(np.float32))
    first = Operator("MUL", [x, _number(f"{output.name}/factor", 1 / 6)], [sixth], 2)
    first.options = options("MulOptions")
    second = Operator("ADD", [sixth, _number(f"{output.name}/half", 0.5)], [output], 2)
    second.options = options("AddOptions", fusedActivationFunction=_RELU)
    place = graph.operators.index(op)
    graph.operators[place : place + 1] = [first, second]
    graph.operators.remove(after)
    return True


def _is_number(tensor: Tensor | None, number: float) -> bool:
    data = None if tensor is None else tensor.data
    return data is not None and data.size == 1 and bool(np.isclose(data.item(), number))


def _number(name: str, number: float) -> Tensor:
    """A positive number as an int8 constant."""
    return Tensor(name, (), "int8", np.array(127, np.int8), per_tensor(number / 127, 0))
