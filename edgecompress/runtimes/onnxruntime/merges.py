"""Operators that a transformer's file does without, or has as others: each is a fact about ONNX
Runtime's kernels, and none changes a number.
"""

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.edit import (
    Editor,
    array_of,
    dequantizer_before,
    input_at,
    integers_of,
    only_reader,
    producer,
    qparams_of,
    quantizer_after,
)

_EXACT = 1e-4
"""A scale that is off by less, as a share of it, moves none of 256 integers."""


def scale_in_place(editor: Editor, node: ir.Node) -> None:
    """DQ -> Mul by a number -> Q, as of queries in attention: the same integers with another scale,
    where the calibrated scales say so.
    """
    after = quantizer_after(node.outputs[0]) if node.op_type == "Mul" else None
    if after is None:
        return
    for x, other in (node.inputs, tuple(reversed(node.inputs))):
        before, factor = dequantizer_before(x), _number(other)
        if before is None or factor is None or array_of(before[0].inputs[0]) is not None:
            continue
        wanted, given = after[1], before[1]
        same_zero = (
            given.zero_point.dtype == wanted.zero_point.dtype
            and given.zero_point == wanted.zero_point
        )
        off = abs(float(given.scale) * factor / float(wanted.scale) - 1.0)
        integers = before[0].inputs[0]
        if same_zero and off < _EXACT and integers is not None:
            editor.replace(after[0].outputs[0], integers)
            return


def scale_in_operand(editor: Editor, node: ir.Node) -> None:
    """MatMul of two activations -> Mul by a number is the product alone, one of whose operands is
    read with a scale so many times as large.
    """
    if node.op_type != "Mul":
        return
    for x, other in (node.inputs, tuple(reversed(node.inputs))):
        product, factor = producer(x, "MatMul"), _number(other)
        if product is None or factor is None or factor <= 0:
            continue
        before = dequantizer_before(product.inputs[0])
        if before is None or only_reader(product.outputs[0], "Mul") is None:
            continue
        scale = editor.constant((before[1].scale * np.float32(factor)).astype(np.float32), "scale")
        integers, zero_point = before[0].inputs[0], input_at(before[0], 2)
        read = editor.before(product, "DequantizeLinear", [integers, scale, zero_point])
        product.replace_input_with(0, read)
        editor.replace(node.outputs[0], product.outputs[0])
        return


def _number(value: ir.Value | None) -> float | None:
    """The one number that a value holds, quantised or not; None where it is no such constant."""
    array = array_of(value)
    if array is not None:
        return float(array.reshape(())) if array.size == 1 else None
    dequantizer = producer(value, "DequantizeLinear")
    qparams = None if dequantizer is None else qparams_of(dequantizer)
    if dequantizer is None or qparams is None or qparams.scale.size != 1:
        return None
    source = dequantizer.inputs[0]
    integers = array_of(source)
    if integers is not None and integers.size == 1:
        zero_point = qparams.zero_point.astype(np.float64)
        steps = integers.astype(np.float64) - zero_point
        return float((steps * qparams.scale.astype(np.float64)).reshape(()))
    quantizer = producer(source, "QuantizeLinear")
    stored = None if quantizer is None else array_of(quantizer.inputs[0])
    return None if stored is None or stored.size != 1 else float(stored.reshape(()))


def reshape_once(_: Editor, node: ir.Node) -> None:
    """Reshape -> Reshape is the second alone."""
    first = producer(node.inputs[0], "Reshape") if node.op_type == "Reshape" else None
    shape = integers_of(input_at(node, 1)) if first is not None else None
    if first is None or shape is None or 0 in shape:
        return
    if only_reader(first.outputs[0], "Reshape") is not None:
        node.replace_input_with(0, first.inputs[0])


def add_apart(editor: Editor, node: ir.Node) -> None:
    """Add -> LayerNormalization in float as Sum -> LayerNormalization: of the first ONNX Runtime
    makes a SkipLayerNormalization, which takes more than twice as long as the two (seen in 1.31).
    """
    readers = [reader for reader, index in node.outputs[0].uses() if index == 0]
    if node.op_type != "Add" or all(each.op_type != "LayerNormalization" for each in readers):
        return
    added = editor.before(node, "Sum", list(node.inputs))
    made = added.producer()
    assert made is not None, "it was made just now"
    made.name, added.shape, added.type = node.name, node.outputs[0].shape, node.outputs[0].type
    editor.replace(node.outputs[0], added)
