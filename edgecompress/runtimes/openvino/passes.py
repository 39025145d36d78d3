"""What stands between a Q/DQ graph as torch writes it and one that OpenVINO runs in int8.

OpenVINO's low-precision transformations carry Q and DQ through a graph by themselves, so that few
rewrites are left. All keep Q and DQ next to each other: what else is done to integers makes oneDNN
multiply int8 by int8, for which its x86 kernels without VNNI halve the weights, and round them.
"""

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.edit import (
    Editor,
    QParams,
    apply,
    dequantizer_before,
    finish,
    number_in,
    only_reader,
    qparams_of,
    quantizer_after,
)
from edgecompress.formats.onnx.kinds import REARRANGING
from edgecompress.formats.onnx.layers import name_layers

_MOVING = {*REARRANGING, "Concat", "Expand", "Gather", "MaxPool", "Slice", "Split", "Tile"}
"""Operators whose results are numbers that they were given."""


def run_passes(model: ir.Model, layers: dict[str, str]) -> None:
    """All of them, in place, in the order that they build on each other.

    Args:
        model: Q/DQ graph with int8 weights inside.
        layers: name of a weight initializer -> path of the user's layer.

    """
    name_layers(model, layers)
    apply(
        model,
        (_quantize_before_rearranging, _quantize_once, _pad_before_pooling, _join_unsigned),
        backwards=(_quantize_before_rearranging,),
    )
    finish(model)


def _quantize_before_rearranging(editor: Editor, node: ir.Node) -> None:
    """Operator -> rearrange -> Q becomes operator -> Q -> DQ -> rearrange -> Q: only an operator
    that is next to its Q is fused with it.
    """
    after = quantizer_after(node.outputs[0]) if node.op_type in REARRANGING else None
    x = node.inputs[0]
    if after is None or x is None or x.producer() is None or dequantizer_before(x) is not None:
        return
    if only_reader(x, node.op_type) is None:
        return
    numbers = after[0].inputs[1:]
    q = editor.before(node, "QuantizeLinear", [x, *numbers])
    node.replace_input_with(0, editor.before(node, "DequantizeLinear", [q, *numbers]))


def _quantize_once(editor: Editor, node: ir.Node) -> None:
    """A Q/DQ goes where all that it quantises has its scale and zero point already."""
    qparams = qparams_of(node) if node.op_type == "QuantizeLinear" else None
    x = node.inputs[0] if node.inputs else None
    if qparams is None or qparams.axis is not None or x is None or not _is_of(x, qparams):
        return
    for reader, _ in list(node.outputs[0].uses()):
        after = dequantizer_before(reader.outputs[0])
        if after is not None and not reader.outputs[0].is_graph_output():
            editor.replace(reader.outputs[0], x)


def _is_of(value: ir.Value | None, qparams: QParams) -> bool:
    """Whether a value comes from a DQ of that scale and zero point, through what only moves it."""
    node = None if value is None else value.producer()
    if node is None:
        return False
    before = dequantizer_before(value)
    if before is not None:
        return before[1].same_as(qparams)
    if node.op_type not in _MOVING:
        return False
    data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return all(_is_of(each, qparams) for each in data)


def _pad_before_pooling(editor: Editor, node: ir.Node) -> None:
    """A mean that counts its padding takes that for the integer 0, whatever the zero point is (seen
    in 2026.4: results 98 steps off). So the integers are padded by an operator of their own;
    OpenVINO would fuse one that pads floats with zeros.
    """
    counted = node.op_type == "AveragePool" and number_in(node, "count_include_pad")
    given = node.attributes.get("pads")
    before = dequantizer_before(node.inputs[0]) if counted and given is not None else None
    if before is None or given is None or not any(given.as_ints()) or not before[1].zero_point:
        return
    dequantizer, qparams = before
    pads = given.as_ints()
    rank = len(pads) // 2
    widths = editor.constant(np.array([0, 0, *pads[:rank], 0, 0, *pads[rank:]], np.int64), "pads")
    value = editor.constant(qparams.zero_point.reshape(()), "pad_value")
    padded = editor.before(node, "Pad", [dequantizer.inputs[0], widths, value])
    inputs = [padded, *dequantizer.inputs[1:]]
    node.replace_input_with(0, editor.before(node, "DequantizeLinear", inputs))
    node.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(pads))


def _join_unsigned(editor: Editor, node: ir.Node) -> None:
    """What is concatenated is stored as uint8 with 128 added, which is the same numbers, and so is
    what becomes of it up to the next layer: a convolution that reads joined int8 computes wrong
    sums (seen in 2026.4: results 64 steps off).
    """
    if node.op_type != "Concat":
        return
    for quantizer in (*_quantizers_before(node), *_quantizers_after(node)):
        qparams = qparams_of(quantizer)
        stored = quantizer.outputs[0]
        around = [quantizer, *(reader for reader, _ in stored.uses())]
        if qparams is None or qparams.axis is not None or qparams.zero_point.dtype != np.int8:
            continue
        if any(each.op_type != "DequantizeLinear" for each in around[1:]):
            continue
        shifted = (qparams.zero_point.astype(np.int16) + 128).astype(np.uint8)
        zero_point = editor.constant(shifted, "zero_point")
        for each in around:
            each.replace_input_with(2, zero_point)
        stored.type = ir.TensorType(ir.DataType.UINT8)


def _quantizers_before(node: ir.Node) -> list[ir.Node]:
    """The QuantizeLinear nodes whose numbers a node reads, through what only moves them."""
    found: list[ir.Node] = []
    for value in node.inputs if node.op_type == "Concat" else node.inputs[:1]:
        before = None if value is None else value.producer()
        if before is not None and before.op_type == "QuantizeLinear":
            found.append(before)
        elif before is not None and before.op_type in (*_MOVING, "DequantizeLinear"):
            found += _quantizers_before(before)
    return found


def _quantizers_after(node: ir.Node) -> list[ir.Node]:
    """Those that store what becomes of a node's numbers without arithmetic."""
    found: list[ir.Node] = []
    for reader, _ in node.outputs[0].uses():
        if reader.op_type == "QuantizeLinear":
            found.append(reader)
        elif reader.op_type in (*_MOVING, "Clip", "Relu"):
            found += _quantizers_after(reader)
    return found
