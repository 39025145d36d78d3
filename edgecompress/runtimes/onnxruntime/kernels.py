"""Operators that ONNX Runtime has no int8 kernel for, written as others that it has one for.

Each rewrite takes one node that stands between DQ and Q, and leaves the rest alone. All keep the
function; where a value can move by rounding, the rewrite says so.
"""

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.edit import (
    Array,
    Editor,
    array_of,
    cuts_of,
    dequantizer_before,
    dims_of,
    input_at,
    integers_of,
    only_reader,
    producer,
    qparams_of,
    quantizer_after,
)

_CLOSE = 1e-4
_FEW_CHANNELS = 128
"""The most channels of a shortcut: with more, its multiplications cost more than the copying that
they replace."""


def saturate(editor: Editor, node: ir.Node) -> None:
    """A Relu or Clip before Q does nothing where the integers end at the same number; where they
    do not (symmetric scales), it is done on the integers, so that the operator before it can
    still be fused with its Q.
    """
    if node.op_type not in ("Relu", "Clip"):
        return
    after = quantizer_after(node.outputs[0])
    low, high = _bounds(node)
    if after is None or node.inputs[0] is None or low is None or high is None:
        return
    quantizer, qparams = after
    half = float(qparams.scale) / 2
    # The kernel's own rounding is half a step; an end that is closer than that is the same end.
    if low > qparams.lowest + half or high < qparams.highest - half:
        q = editor.before(quantizer, "QuantizeLinear", [node.inputs[0], *quantizer.inputs[1:]])
        limits = [editor.constant(qparams.integer(end), "limit") for end in (low, high)]
        editor.replace(quantizer.outputs[0], editor.before(quantizer, "Clip", [q, *limits]))
        return
    editor.replace(node.outputs[0], node.inputs[0])


def _bounds(node: ir.Node) -> tuple[float | None, float | None]:
    if node.op_type == "Relu":
        return 0.0, float("inf")
    bounds = []
    for index, default in ((1, -float("inf")), (2, float("inf"))):
        given = input_at(node, index)
        array = array_of(given)
        bounds.append(default if given is None else None if array is None else float(array))
    return bounds[0], bounds[1]


def linear_over_rows(editor: Editor, node: ir.Node) -> None:
    """A linear layer over [.., L, C] arrives as MatMul, Add, for which there is no int8 kernel
    with a bias. As Gemm over [N * L, C] it is one QGemm.
    """
    if node.op_type != "MatMul" or dequantizer_before(node.inputs[0]) is None:
        return
    transpose = producer(node.inputs[1], "Transpose")
    weight = None if transpose is None else transpose.inputs[0]
    dequantizer = producer(weight, "DequantizeLinear")
    if dequantizer is None:
        return
    size, full = dims_of(dequantizer.inputs[0]), dims_of(node.inputs[0])
    if size is None or full is None or full.count(None) > 1:
        return  # one dimension can be left for Reshape to work out, not two
    last, bias = node, None
    add = only_reader(node.outputs[0], "Add")
    if add is not None:
        other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
        if dims_of(other) == size[:1] and array_of(other) is not None:
            last, bias = add, other
    # A weight's dimensions are all known; 0 would be Reshape's "as it was".
    outputs, inputs = (0 if dim is None else dim for dim in size[:2])
    rows = editor.constant(np.array([-1, inputs], np.int64), "shape")
    lead = [-1 if dim is None else dim for dim in full[:-1]]
    shape = editor.constant(np.array([*lead, outputs], np.int64), "shape")
    flat = editor.before(last, "Reshape", [node.inputs[0], rows])
    operands = [flat, weight] if bias is None else [flat, weight, bias]
    product = editor.before(last, "Gemm", operands, {"transB": 1})
    gemm = product.producer()
    assert gemm is not None
    gemm.name = node.name
    gemm.metadata_props.update(node.metadata_props)
    editor.replace(last.outputs[0], editor.before(last, "Reshape", [product, shape]))


def add_and_saturate(editor: Editor, node: ir.Node) -> None:
    """Hard-sigmoid and hard-swish: relu6(x + 3) is an addition whose result saturates at both
    ends of [0, 6]; read with a sixth of its scale it is hard-sigmoid, and times x hard-swish.
    Differs by the 8 bits of the factor: about one step of the output.
    """
    if node.op_type not in ("HardSwish", "HardSigmoid"):
        return
    before, after = dequantizer_before(node.inputs[0]), quantizer_after(node.outputs[0])
    if before is None or after is None or not _has_slope_of_a_sixth(node):
        return
    dtype = before[1].zero_point.dtype
    info = np.iinfo(dtype)
    levels = info.max - info.min
    # The quantizer gives hard-sigmoid 256 steps to 1; where hard-swish is at x, it needs 1 itself.
    step = 1.0 / (levels + 1 if node.op_type == "HardSigmoid" else levels)
    low = editor.constant(np.array(info.min, dtype), "zero_point")
    # The constant 3 at the top of its own scale, so that it is exact.
    top = editor.constant(np.array(info.max, dtype), "three")
    scale = editor.constant(np.array(3.0 / levels, np.float32), "scale")
    three = editor.before(node, "DequantizeLinear", [top, scale, low])
    shifted = editor.before(node, "Add", [node.inputs[0], three])
    wide = editor.constant(np.array(6.0 * step, np.float32), "scale")
    unit = editor.constant(np.array(step, np.float32), "scale")
    gate = editor.before(node, "QuantizeLinear", [shifted, wide, low])
    factor = editor.before(node, "DequantizeLinear", [gate, unit, low])
    if node.op_type == "HardSwish":
        product = editor.before(node, "Mul", [node.inputs[0], factor])
        editor.replace(node.outputs[0], product)
        return
    # The factor is the answer; whoever reads it reads it with its own scale.
    editor.replace(after[0].outputs[0], gate)
    for reader, _ in list(gate.uses()):
        if reader.op_type == "DequantizeLinear":
            reader.replace_input_with(1, unit)
            reader.replace_input_with(2, low)


def _has_slope_of_a_sixth(node: ir.Node) -> bool:
    """Torch's hard-sigmoid; ONNX's default slope is 0.2."""
    if node.op_type == "HardSwish":
        return True
    alpha, beta = node.attributes.get("alpha"), node.attributes.get("beta")
    return (
        alpha is not None
        and abs(alpha.as_float() - 1 / 6) < _CLOSE
        and (beta is None or abs(beta.as_float() - 0.5) < _CLOSE)
    )


def shortcut_as_convolution(editor: Editor, node: ir.Node) -> None:
    """A shortcut without weights (He et al., 2016, option A) takes every second position and pads
    channels: two operators that copy value by value. A 1x1 convolution with ones in the right
    places gives the same integers, in a third of the time where channels are few.
    """
    cut = producer(node.inputs[0], "Slice") if node.op_type == "Pad" else None
    reader = only_reader(node.outputs[0], "DequantizeLinear")
    qparams = None if reader is None else qparams_of(reader)
    if cut is None or reader is None or qparams is None or qparams.axis is not None:
        return
    shape, widths = dims_of(cut.inputs[0]), integers_of(input_at(node, 1))
    strides = _strides(cut)
    rank = len(shape or ())
    if shape is None or shape[1] is None or rank < 3 or strides is None or widths is None:
        return
    before, after = widths[1], widths[1 + rank] if len(widths) == 2 * rank else -1
    only_channels = sum(map(abs, widths)) == before + after and min(before, after) >= 0
    channels = shape[1] + before + after
    if not only_channels or channels > _FEW_CHANNELS or not _pads_with(node, qparams.zero_point):
        return
    ones = np.zeros((channels, shape[1], *[1] * (rank - 2)), np.int8)
    for channel in range(shape[1]):
        ones[channel + before, channel] = 1
    one, zero = np.array(1.0, np.float32), np.array(0, np.int8)
    weight = [editor.constant(ones, "shortcut"), editor.constant(one), editor.constant(zero)]
    x = editor.before(node, "DequantizeLinear", [cut.inputs[0], *reader.inputs[1:]])
    w = editor.before(node, "DequantizeLinear", [*weight])
    y = editor.before(node, "Conv", [x, w], {"strides": strides})
    q = editor.before(node, "QuantizeLinear", [y, *reader.inputs[1:]])
    editor.replace(node.outputs[0], q)


def _strides(cut: ir.Node) -> list[int] | None:
    """The strides of a Slice that takes every n-th position, from 0, behind the channels."""
    shape = dims_of(cut.inputs[0])
    if shape is None:
        return None
    cuts = {axis: (start, end, step) for start, end, axis, step in cuts_of(cut)}
    if not cuts or min(cuts) < 2:
        return None
    strides = []
    for axis, size in enumerate(shape[2:], start=2):
        if size is None:
            return None
        start, end, step = cuts.get(axis, (0, size, 1))
        if start != 0 or end < size or step < 1:
            return None
        strides.append(step)
    return strides


def _pads_with(pad: ir.Node, zero_point: Array) -> bool:
    mode, value = pad.attributes.get("mode"), array_of(input_at(pad, 2))
    constant = mode is None or mode.as_string() == "constant"
    return constant and value is not None and value == zero_point
