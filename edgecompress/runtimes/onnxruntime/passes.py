"""What stands between a Q/DQ graph as torch writes it and one that runs in int8 throughout.

Each pass is one fact about ONNX Runtime's int8 kernels.
"""

import numpy as np
import onnx_ir as ir

from edgecompress.formats.onnx.edit import (
    Array,
    Editor,
    QParams,
    apply,
    array_of,
    cuts_of,
    dequantizer_before,
    dims_of,
    finish,
    input_at,
    integers_of,
    only_reader,
    producer,
    qparams_of,
    quantizer_after,
)
from edgecompress.formats.onnx.kinds import REARRANGING
from edgecompress.formats.onnx.layers import name_layers, weight_name
from edgecompress.formats.onnx.rewrites import pool_globally
from edgecompress.runtimes.onnxruntime.kernels import (
    add_and_saturate,
    linear_over_rows,
    saturate,
    shortcut_as_convolution,
)
from edgecompress.runtimes.onnxruntime.merges import (
    add_apart,
    reshape_once,
    scale_in_operand,
    scale_in_place,
)

# Operators that are the same on the integers as on what they stand for: some only rearrange.
_MOVING = {
    *REARRANGING, "Concat", "Expand", "Gather", "MaxPool", "Pad", "Slice", "Split", "Tile"
}  # fmt: skip
# What else Pad's mode can be only repeats values.
_CONSTANT = "constant"


def run_passes(model: ir.Model, layers: dict[str, str], shift: bool) -> None:
    """All of them, in place, in the order that they build on each other.

    Args:
        model: Q/DQ graph with int8 weights inside.
        layers: name of a weight initializer -> path of the user's layer.
        shift: activations are int8, and the target's kernels take uint8 ones.

    """
    if shift:
        _shift(model, set(layers))
    name_layers(model, layers)
    rewrites = (
        saturate,
        linear_over_rows,
        pool_globally,
        add_and_saturate,
        _quantize_before_moving,
        _dequantize_after_moving,
        _cancel,
        scale_in_place,
        scale_in_operand,
        reshape_once,
        add_apart,
        _slice_once,
        shortcut_as_convolution,
        _pad_in_convolution,
        _bias,
        _stay_in_float,
    )
    apply(model, rewrites, backwards=(_quantize_before_moving,))
    finish(model)


def _shift(model: ir.Model, weights: set[str]) -> None:
    """int8 activations become uint8 ones with 128 added to integers and zero points, which is the
    same numbers: what the portable scheme trains, as x86's kernels take it.
    """
    editor = Editor(model)
    for node in list(model.graph):
        qparams = (
            qparams_of(node) if node.op_type in ("QuantizeLinear", "DequantizeLinear") else None
        )
        if qparams is None or qparams.axis is not None:
            continue
        integers = array_of(node.inputs[0]) if node.op_type == "DequantizeLinear" else None
        if integers is not None:
            if weight_name(node.inputs[0]) in weights:
                continue
            node.replace_input_with(0, editor.constant(_unsigned(integers), "integers"))
        node.replace_input_with(2, editor.constant(_unsigned(qparams.zero_point), "zero_point"))
        if node.op_type == "QuantizeLinear":
            node.outputs[0].type = ir.TensorType(ir.DataType.UINT8)


def _unsigned(integers: Array) -> Array:
    return (integers.astype(np.int16) + 128).astype(np.uint8)


def _quantize_before_moving(editor: Editor, node: ir.Node) -> None:
    """Operator -> rearrange -> Q becomes operator -> Q -> rearrange: only an operator that is next
    to its Q is fused with it.
    """
    after = quantizer_after(node.outputs[0]) if node.op_type in REARRANGING else None
    if after is None or dequantizer_before(node.inputs[0]) is not None:
        return
    x = node.inputs[0]
    if x is None or x.producer() is None or only_reader(x, node.op_type) is None:
        return
    quantizer, qparams = after
    q = editor.before(node, "QuantizeLinear", [x, *quantizer.inputs[1:]])
    node.replace_input_with(0, q)
    node.outputs[0].type = ir.TensorType(ir.DataType.from_numpy(qparams.zero_point.dtype))
    editor.replace(quantizer.outputs[0], node.outputs[0])


def _dequantize_after_moving(editor: Editor, node: ir.Node) -> None:
    """DQ -> move becomes move -> DQ, where all that it moves has one scale: integers are moved."""
    if node.op_type not in _MOVING:
        return
    if len(node.outputs) > 1 and node.op_type != "Split":
        return  # MaxPool that also gives positions
    data = list(node.inputs) if node.op_type == "Concat" else [node.inputs[0]]
    befores = [dequantizer_before(value) for value in data]
    sources = [pair for pair in befores if pair is not None]
    if len(sources) < len(data) or any(not q.same_as(sources[0][1]) for _, q in sources):
        return
    if node.op_type == "Pad" and not _pad_integers(editor, node, sources[0][1]):
        return
    for index, (dequantizer, _) in enumerate(sources):
        node.replace_input_with(index, dequantizer.inputs[0])
    for output in node.outputs:
        dequantizer = ir.node("DequantizeLinear", [output, *sources[0][0].inputs[1:]])
        dequantizer.name = f"{output.name}_DequantizeLinear"
        value = dequantizer.outputs[0]
        value.name, value.shape, value.type = f"{dequantizer.name}_out", output.shape, output.type
        editor.replace(output, value)
        output.type = ir.TensorType(ir.DataType.from_numpy(sources[0][1].zero_point.dtype))
        dequantizer.replace_input_with(0, output)
        editor.graph.insert_after(node, dequantizer)


def _pad_integers(editor: Editor, node: ir.Node, qparams: QParams) -> bool:
    """Make Pad write the integer of its number; False where that is no constant, or has none."""
    mode = node.attributes.get("mode")
    if mode is not None and mode.as_string() != _CONSTANT:
        return True
    given = input_at(node, 2)
    number = np.array(0.0) if given is None else array_of(given)
    if number is None or not qparams.holds(float(number)):
        return False
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, editor.constant(qparams.integer(float(number)), "pad_value"))
    return True


def _cancel(editor: Editor, node: ir.Node) -> None:
    """DQ -> Q with the same scale and zero point is nothing."""
    before = dequantizer_before(node.inputs[0]) if node.op_type == "QuantizeLinear" else None
    qparams = qparams_of(node) if before is not None else None
    if before is None or qparams is None or not before[1].same_as(qparams):
        return
    integers = before[0].inputs[0]
    if integers is not None:
        editor.replace(node.outputs[0], integers)


def _slice_once(editor: Editor, node: ir.Node) -> None:
    """x[:, :, ::2][:, :, :, ::2] is one Slice: in a small network each operator costs microseconds,
    whatever it does.
    """
    first = producer(node.inputs[0], "Slice") if node.op_type == "Slice" else None
    if first is None or only_reader(first.outputs[0], "Slice") is None:
        return
    cuts = [cuts_of(first), cuts_of(node)]
    axes = [cut[2] for part in cuts for cut in part]
    if not all(cuts) or len(set(axes)) < len(axes):
        return
    columns = zip(*cuts[0], *cuts[1], strict=True)
    names = ("starts", "ends", "axes", "steps")
    node.replace_input_with(0, first.inputs[0])
    node.resize_inputs(5)
    for index, (name, column) in enumerate(zip(names, columns, strict=True), start=1):
        node.replace_input_with(index, editor.constant(np.array(column, np.int64), name))


def _pad_in_convolution(editor: Editor, node: ir.Node) -> None:
    """Padding with zero_point before a convolution is the convolution's own padding."""
    before = dequantizer_before(node.inputs[0]) if node.op_type == "Conv" else None
    pad = None if before is None else producer(before[0].inputs[0], "Pad")
    if before is None or pad is None:
        return
    mode, value = pad.attributes.get("mode"), array_of(input_at(pad, 2))
    widths, rank = integers_of(pad.inputs[1]), len(dims_of(node.inputs[1]) or ())
    if mode is not None and mode.as_string() != _CONSTANT:
        return
    if value is None or value != before[1].zero_point or widths is None:
        return
    begins, ends = widths[:rank], widths[rank:]
    if min(widths) < 0 or any(begins[:2] + ends[:2]) or len(widths) != 2 * rank:
        return
    auto, given = node.attributes.get("auto_pad"), node.attributes.get("pads")
    if auto is not None and auto.as_string() != "NOTSET":
        return
    own = [0] * (2 * rank - 4) if given is None else list(given.as_ints())
    pads = [one + other for one, other in zip(own, begins[2:] + ends[2:], strict=True)]
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    inputs = [pad.inputs[0], *before[0].inputs[1:]]
    node.replace_input_with(0, editor.before(node, "DequantizeLinear", inputs))


def _bias(editor: Editor, node: ir.Node) -> None:
    """int32 biases at the scale of the products, as the int8 kernels add them. Recent versions of
    ONNX Runtime do this when they load a file, older ones leave the operator in float.
    """
    if node.op_type not in ("Conv", "Gemm") or len(node.inputs) < 3:
        return
    bias = array_of(node.inputs[2])
    x, weight = dequantizer_before(node.inputs[0]), producer(node.inputs[1], "DequantizeLinear")
    w = None if weight is None else qparams_of(weight)
    if bias is None or x is None or w is None:
        return
    if node.op_type == "Conv" and quantizer_after(node.outputs[0]) is None:
        return  # only QGemm may write floats
    scale = (x[1].scale.astype(np.float64) * w.scale.astype(np.float64)).reshape(-1)
    integers = np.round(bias.astype(np.float64) / scale)
    if np.abs(integers).max(initial=0) > np.iinfo(np.int32).max:
        return  # a scale so small that the bias does not fit: the operator stays as it is
    name = f"{node.name}.bias"
    values = editor.constant(integers.astype(np.int32), name)
    single = scale.size == 1
    scales = editor.constant((scale[0] if single else scale).astype(np.float32), f"{name}_scale")
    zeros = editor.constant(np.zeros(() if single else scale.shape, np.int32), f"{name}_zero")
    inputs: list[ir.Value | None] = [values, scales, zeros]
    node.replace_input_with(2, editor.before(node, "DequantizeLinear", inputs, {"axis": 0}))


def _stay_in_float(editor: Editor, node: ir.Node) -> None:
    """A layer that was kept in float, between DQ and Q: ONNX Runtime (seen in 1.31) quantises its
    weights by itself, with 8 bits. A sum of one number keeps it from recognising the pattern.
    """
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return
    weight = array_of(node.inputs[1])
    if weight is not None and dequantizer_before(node.inputs[0]) is not None:
        node.replace_input_with(0, editor.before(node, "Sum", [node.inputs[0]]))
