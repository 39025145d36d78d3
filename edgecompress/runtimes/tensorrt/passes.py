"""What stands between a Q/DQ graph as torch writes it and one that TensorRT fuses.

Each pass is one fact about TensorRT's builder. Q/DQ stay next to each other everywhere: it moves
them by itself, and takes int8 tensors from nowhere else.
"""

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.edit import (
    Editor,
    apply,
    array_of,
    dequantizer_before,
    dims_of,
    finish,
    input_at,
    integers_of,
    number_in,
    only_reader,
    producer,
    qparams_of,
    quantizer_after,
)
from edgecompress.formats.onnx.layers import name_layers
from edgecompress.formats.onnx.rewrites import pool_globally

_CONVERTERS = ("QuantizeLinear", "DequantizeLinear")


def run_passes(model: ir.Model, layers: dict[str, str]) -> None:
    """All of them, in place.

    Args:
        model: Q/DQ graph with float weights before their Q/DQ.
        layers: name of a weight initializer -> path of the user's layer.

    """
    apply(model, (_no_clip,))
    name_layers(model, layers)
    apply(model, (_transpose_weights, pool_globally, _per_tensor, _fuse_addition))
    finish(model)


def _no_clip(editor: Editor, node: ir.Node) -> None:
    """Q -> Clip to the whole range -> DQ, as torch writes it round weights: nothing may stand
    between Q and DQ.
    """
    quantizer = producer(node.inputs[0], "QuantizeLinear") if node.op_type == "Clip" else None
    qparams = None if quantizer is None else qparams_of(quantizer)
    if quantizer is None or qparams is None:
        return
    low, high = integers_of(input_at(node, 1)), integers_of(input_at(node, 2))
    if not low or not high:
        return
    info = np.iinfo(qparams.zero_point.dtype)
    if low[0] <= info.min and high[0] >= info.max:
        editor.replace(node.outputs[0], quantizer.outputs[0])


def _transpose_weights(editor: Editor, node: ir.Node) -> None:
    """DQ -> Transpose -> MatMul of weights: they are stored transposed instead."""
    turn = producer(node.inputs[1], "Transpose") if node.op_type == "MatMul" else None
    dequantizer = None if turn is None else producer(turn.inputs[0], "DequantizeLinear")
    quantizer = None if dequantizer is None else producer(dequantizer.inputs[0], "QuantizeLinear")
    weight = None if quantizer is None else quantizer.inputs[0]
    array = array_of(weight)
    if turn is None or dequantizer is None or quantizer is None or array is None:
        return
    perm = turn.attributes.get_ints("perm", tuple(range(array.ndim))[::-1])
    axis = list(perm).index(number_in(quantizer, "axis", 1) % array.ndim)
    name = (weight.name if weight is not None else None) or "weight"
    stored = editor.constant(np.ascontiguousarray(array.transpose(perm)), name)
    if weight is not None and len(list(weight.uses())) == 1:
        weight.name = f"{name}_before"
        stored.name = name
    q = editor.before(node, "QuantizeLinear", [stored, *quantizer.inputs[1:]], {"axis": axis})
    inputs = [q, *dequantizer.inputs[1:]]
    dq = editor.before(node, "DequantizeLinear", inputs, {"axis": axis})
    node.replace_input_with(1, dq)


def _per_tensor(_: Editor, node: ir.Node) -> None:
    """An axis means nothing to one scale, and is out of range for a scalar or a vector."""
    if node.op_type in _CONVERTERS:
        scale = array_of(node.inputs[1])
        if scale is not None and scale.size == 1:
            node.attributes.pop("axis", None)


def _fuse_addition(editor: Editor, node: ir.Node) -> None:
    """A residual Add is fused into a convolution that is right before it: the Q/DQ between them
    goes, and the sum is that much more exact. Of several such convolutions it is the last, as the
    others' results must be there by then.
    """
    values = [value for value in node.inputs if value is not None]
    if node.op_type != "Add" or len(set(values)) < 2:
        return
    shapes = [dims_of(value) for value in values]
    if shapes[0] is None or any(shape != shapes[0] for shape in shapes):
        return  # it broadcasts, which no convolution does
    if any(producer(value, "Conv") for value in values):
        return  # the graph was trained so
    last = None
    for value in values:
        quantizer = _quantizer_of(value, node.op_type)
        conv = None if quantizer is None else producer(quantizer.inputs[0], "Conv")
        if conv is None or quantizer_after(conv.outputs[0]) is None:
            continue
        quantised = dequantizer_before(conv.inputs[0]), producer(conv.inputs[1], _CONVERTERS[1])
        if None not in quantised and (last is None or _is_before(editor.graph, last[1], conv)):
            last = value, conv
    if last is not None:
        node.replace_input_with(values.index(last[0]), last[1].outputs[0])


def _quantizer_of(value: ir.Value, reader: str) -> ir.Node | None:
    """The Q of a Q/DQ that only leads to one node of a kind."""
    dequantizer = producer(value, "DequantizeLinear")
    integers = None if dequantizer is None else dequantizer.inputs[0]
    if integers is None or only_reader(value, reader) is None:
        return None
    alone = only_reader(integers, "DequantizeLinear") is not None
    return producer(integers, "QuantizeLinear") if alone else None


def _is_before(graph: ir.Graph, first: ir.Node, second: ir.Node) -> bool:
    return next(node for node in graph if node in (first, second)) is first
