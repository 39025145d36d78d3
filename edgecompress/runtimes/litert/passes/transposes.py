"""Rewrites that bring TRANSPOSE and RESHAPE together with those that undo them: litert-torch leaves
them where an operator of a NCHW network is not one of the few that it knows in NHWC.
"""

import math
from dataclasses import replace

import numpy as np

from edgecompress.formats.tflite.graph import (
    Graph,
    Operator,
    Tensor,
    constant,
    integers_of,
    like,
    options,
)

# Operators of one data input that treat every value alike, whatever its place.
_ELEMENTWISE = {
    "ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "QUANTIZE", "RELU",
    "RELU6", "RSQRT", "SQRT", "SQUARE", "TANH",
}  # fmt: skip
_BINARY = {"ADD", "MUL", "SUB", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"}
_REDUCING = {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"}
_PADDING = {"PAD", "PADV2", "MIRROR_PAD"}
SLICING = {"SLICE", "STRIDED_SLICE"}
_SINKABLE = {*_ELEMENTWISE, *_BINARY, *_REDUCING, *_PADDING, "CONCATENATION"}


def _permutation(op: Operator | None) -> list[int] | None:
    """What a TRANSPOSE does: dimension i of its output is dimension p[i] of its input."""
    return integers_of(op.inputs[1]) if op is not None and op.op_type == "TRANSPOSE" else None


def _inverse(permutation: list[int]) -> list[int]:
    return [permutation.index(axis) for axis in range(len(permutation))]


def _transpose(x: Tensor, permutation: list[int], output: Tensor) -> Operator:
    order = constant(f"{output.name}/permutation", permutation)
    version = 4 if len(x.shape) > 4 else 2
    return Operator("TRANSPOSE", [x, order], [output], version, options("TransposeOptions"))


def reshape(x: Tensor, output: Tensor) -> Operator:
    shape = constant(f"{output.name}/shape", output.shape)
    return Operator("RESHAPE", [x, shape], [output], 1, options("ReshapeOptions"))


def _bypass(graph: Graph, op: Operator, source: Tensor) -> bool:
    """`op` does nothing: its readers read `source`. False where an input would be an output."""
    output = op.outputs[0]
    if output in graph.outputs and source in (*graph.inputs, *graph.outputs):
        return False
    graph.outputs = [source if tensor is output else tensor for tensor in graph.outputs]
    graph.redirect(output, source)
    return True


def _moved(graph: Graph, x: Tensor | None) -> Operator | None:
    """The TRANSPOSE that makes `x`, where all that read it can do without."""
    before = graph.producer(x)
    if x is None or before is None or _permutation(before) is None or x in graph.outputs:
        return None
    return before if all(reader.op_type in _SINKABLE for reader in graph.readers(x)) else None


def _after(graph: Graph, op: Operator, make: Operator) -> None:
    graph.operators.insert(graph.operators.index(op) + 1, make)


def join_transposes(graph: Graph, op: Operator) -> bool:
    """Two in a row are one or none; one that moves dimensions of size 1 only is a RESHAPE."""
    permutation = _permutation(op)
    if permutation is None:
        return False
    x, output = op.data, op.outputs[0]
    before = graph.producer(x)
    first = _permutation(before)
    if before is not None and first is not None:
        both = [first[axis] for axis in permutation]
        op.inputs = [before.data, constant(f"{output.name}/permutation", both)]
        return True
    if permutation == sorted(permutation):
        return _bypass(graph, op, x)
    if [axis for axis in permutation if x.shape[axis] > 1] != [
        axis for axis in range(len(x.shape)) if x.shape[axis] > 1
    ]:
        return False
    graph.operators[graph.operators.index(op)] = reshape(x, output)
    return True


def join_reshapes(graph: Graph, op: Operator) -> bool:
    if op.op_type != "RESHAPE":
        return False
    before = graph.producer(op.inputs[0])
    if before is not None and before.op_type == "RESHAPE":
        op.inputs[0] = before.data
        return True
    return op.data.shape == op.outputs[0].shape and _bypass(graph, op, op.data)


def pad_after_reshape(graph: Graph, op: Operator) -> bool:
    """PAD, then a RESHAPE that moves dimensions of size 1 only: the other way round, so that each
    meets its like. An image of one channel is turned to NHWC so.
    """
    pad = graph.producer(op.inputs[0]) if op.op_type == "RESHAPE" else None
    if pad is None or pad.op_type not in _PADDING or graph.only_reader(op.data) is not op:
        return False
    padded, shape, widths = op.data.shape, op.outputs[0].shape, pad.inputs[1]
    old = [axis for axis, size in enumerate(padded) if size > 1]
    new = [axis for axis, size in enumerate(shape) if size > 1]
    if [padded[axis] for axis in old] != [shape[axis] for axis in new]:
        return False
    if widths is None or widths.data is None:
        return False
    moved = np.zeros((len(shape), 2), widths.data.dtype)
    moved[new] = widths.data[old]
    before = [1] * len(shape)
    for there, here in zip(new, old, strict=True):
        before[there] = pad.data.shape[here]
    middle = like(pad.data, f"{pad.data.name}/reshaped", tuple(before))
    place = graph.operators.index(op)
    late = Operator(pad.op_type, [middle], op.outputs, pad.version, pad.options)
    late.inputs += [constant(f"{widths.name}/reshaped", moved, widths.dtype), *pad.inputs[2:]]
    graph.operators[place : place + 1] = [reshape(pad.data, middle), late]
    graph.operators.remove(pad)
    return True


def sink_below_one(graph: Graph, op: Operator) -> bool:
    """TRANSPOSE or RESHAPE, then an elementwise operator: the other way round, so that it meets
    the one that undoes it.
    """
    if op.op_type not in _ELEMENTWISE:
        return False
    x, output = op.data, op.outputs[0]
    before = graph.producer(x)
    if before is None or before.op_type not in ("TRANSPOSE", "RESHAPE"):
        return False
    if before.op_type == "TRANSPOSE" and _moved(graph, x) is None:
        return False
    if before.op_type == "RESHAPE" and graph.only_reader(x) is not op:
        return False
    op.inputs[0] = before.data
    op.outputs = [like(output, f"{output.name}/before", before.data.shape)]
    permutation = _permutation(before)
    if permutation is None:
        _after(graph, op, reshape(op.outputs[0], output))
    else:
        _after(graph, op, _transpose(op.outputs[0], permutation, output))
    return True


def dequantize_late(graph: Graph, op: Operator) -> bool:
    """DEQUANTIZE, then an operator that moves data: the other way round, which moves bytes."""
    before = graph.producer(op.inputs[0]) if op.op_type in ("TRANSPOSE", "RESHAPE") else None
    if before is None or before.op_type != "DEQUANTIZE" or len(graph.readers(op.data)) > 1:
        return False
    output, source = op.outputs[0], before.data
    if source.qparams is None or source.qparams.scale.size > 1 or op.data in graph.outputs:
        return False
    middle = like(source, f"{output.name}/before", output.shape)
    op.inputs[0], op.outputs = source, [middle]
    _after(graph, op, Operator("DEQUANTIZE", [middle], [output], before.version, before.options))
    return True


def sink_below_several(graph: Graph, op: Operator) -> bool:
    """An operator of several tensors that are all transposed alike."""
    if op.op_type not in {*_BINARY, "CONCATENATION"}:
        return False
    operands = [x for x in op.inputs if x is not None]
    before = [_moved(graph, x) for x in operands if x.data is None]
    permutation = _permutation(before[0]) if before else None
    if permutation is None or any(_permutation(other) != permutation for other in before):
        return False
    if any(x.data is not None and len(x.shape) > len(permutation) for x in operands):
        return False
    if op.op_type == "CONCATENATION":
        if any(x.data is not None for x in operands):
            return False
        op.options.axis = permutation[op.options.axis % len(permutation)]
    sources = {id(move.outputs[0]): move.data for move in before if move is not None}
    op.inputs = [sources.get(id(x)) or _unmoved(x, permutation) for x in operands]
    _then_transpose(graph, op, permutation)
    return True


def _unmoved(constant: Tensor, permutation: list[int]) -> Tensor:
    """What `constant` must be to broadcast the same, before the permutation instead of after it."""
    if constant.data is None or math.prod(constant.shape) == 1:
        return constant
    filled = constant.data.reshape((1,) * (len(permutation) - constant.data.ndim) + constant.shape)
    moved = np.ascontiguousarray(filled.transpose(_inverse(permutation)))
    name = f"{constant.name}/before"
    return Tensor(name, moved.shape, constant.dtype, moved, constant.qparams)


def _then_transpose(graph: Graph, op: Operator, permutation: list[int]) -> None:
    """`op` computes in the order before `permutation`; a TRANSPOSE behind it makes what it made."""
    output = op.outputs[0]
    shape = tuple(output.shape[axis] for axis in _inverse(permutation))
    op.outputs = [like(output, f"{output.name}/before", shape)]
    _after(graph, op, _transpose(op.outputs[0], permutation, output))


def sink_below_padding(graph: Graph, op: Operator) -> bool:
    before = _moved(graph, op.inputs[0]) if op.op_type in _PADDING else None
    permutation = _permutation(before)
    widths = op.inputs[1] if permutation is not None else None
    if before is None or permutation is None or widths is None or widths.data is None:
        return False
    moved = widths.data[_inverse(permutation)]
    op.inputs[:2] = [before.data, constant(f"{widths.name}/before", moved)]
    _then_transpose(graph, op, permutation)
    return True


def sink_below_reduction(graph: Graph, op: Operator) -> bool:
    """A mean over transposed dimensions is the mean over where they were."""
    before = _moved(graph, op.inputs[0]) if op.op_type in _REDUCING else None
    permutation, axes = _permutation(before), integers_of(op.inputs[1]) if before else None
    if before is None or permutation is None or axes is None:
        return False
    rank = len(permutation)
    reduced = {axis % rank for axis in axes}
    op.inputs = [before.data, constant("axes", sorted(permutation[axis] for axis in reduced))]
    if op.options.keepDims:
        _then_transpose(graph, op, permutation)
        return True
    kept = [permutation[axis] for axis in range(rank) if axis not in reduced]
    _then_transpose(graph, op, [sorted(kept).index(axis) for axis in kept])
    return True


def flatten_in_place(graph: Graph, op: Operator) -> bool:
    """FULLY_CONNECTED reads flattened NHWC data as well, with its columns in that order."""
    weight = op.inputs[1] if op.op_type == "FULLY_CONNECTED" else None
    flat = graph.producer(op.inputs[0])
    if weight is None or weight.data is None or flat is None or flat.op_type != "RESHAPE":
        return False
    before = graph.producer(flat.data)
    permutation = _permutation(before)
    if before is None or permutation is None or permutation[0] != 0:
        return False
    if graph.only_reader(flat.data) is not flat or graph.only_reader(op.data) is not op:
        return False
    batch, *sizes = flat.data.shape
    if op.data.shape != (batch, math.prod(sizes)) or weight.shape[1] != math.prod(sizes):
        return False
    columns = np.arange(weight.shape[1]).reshape(1, *sizes).transpose(_inverse(permutation))
    op.inputs[1] = replace(weight, data=weight.data[:, columns.reshape(-1)])
    flat.inputs[0] = before.data
    return True


def flatten_by_reader(graph: Graph, op: Operator) -> None:
    """FULLY_CONNECTED takes [N, 1, 1, C] for [N, C]. Of more positions, not all delegates do."""
    flat = graph.producer(op.inputs[0]) if op.op_type == "FULLY_CONNECTED" else None
    if flat is None or flat.op_type != "RESHAPE" or flat.outputs[0] in graph.outputs:
        return
    batch, channels = flat.data.shape[0], flat.data.shape[-1]
    if flat.data.shape == (batch, 1, 1, channels) and op.data.shape == (batch, channels):
        op.inputs[0] = flat.data
        op.options.keepNumDims = False


def sink_below_slice(graph: Graph, op: Operator) -> bool:
    if op.op_type not in SLICING or is_masked(op):
        return False
    before = graph.producer(op.inputs[0])
    permutation = _permutation(before) if graph.only_reader(op.data) is op else None
    places = [x.data for x in op.inputs[1:] if x is not None and x.data is not None]
    if before is None or permutation is None or len(places) < len(op.inputs) - 1:
        return False
    moved = [constant("slice", place[_inverse(permutation)]) for place in places]
    op.inputs = [before.data, *moved]
    _then_transpose(graph, op, permutation)
    return True


def is_masked(op: Operator) -> bool:
    """Whether a STRIDED_SLICE adds, drops or leaves open a dimension."""
    masks = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask", "offset")
    return any(getattr(op.options, mask, 0) for mask in masks)
