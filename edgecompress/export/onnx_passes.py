"""What stands between a Q/DQ graph as torch writes it and one that runs in int8 throughout.

Each pass is one fact about ONNX Runtime's int8 kernels. All keep the function; where a value can
move by rounding, the pass says so.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    RemoveUnusedNodesPass,
)

from edgecompress.export.onnx_edit import (
    Array,
    Editor,
    QParams,
    array_of,
    dequantizer_before,
    only_reader,
    producer,
    qparams_of,
    quantizer_after,
)

# Operators that give the same result on the integers as on what they stand for.
_MOVING = {
    "Slice", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Expand",
    "DepthToSpace", "SpaceToDepth", "Pad", "Split", "MaxPool", "Tile", "Identity", "Concat",
}  # fmt: skip
_CLOSE = 1e-4


def run_passes(model: ir.Model, layers: dict[str, str]) -> None:
    """All of them, in place, in the order that they build on each other.

    Args:
        model: Q/DQ graph with int8 weights inside.
        layers: name of a weight initializer -> path of the user's layer.

    """
    _name_layers(model, layers)
    for rewrite in (_stacked_linear, _global_pool, _hard_activations, _saturating, _moving, _bias):
        editor = Editor(model)
        for node in list(model.graph):
            rewrite(editor, node)
        RemoveUnusedNodesPass()(model)
    IdentityEliminationPass()(model)
    model.graph.sort()


def _name_layers(model: ir.Model, layers: dict[str, str]) -> None:
    """Nodes, weights and biases get the names that the user's model has for them."""
    taken: set[str] = set()
    for node in model.graph:
        if len(node.inputs) < 2:
            continue
        path = layers.get(_weight_name(node.inputs[1]) or "")
        if path is None:
            continue
        while path in taken:  # one module, called more than once
            path += "'"
        taken.add(path)
        node.name = path
        node.metadata_props["edgecompress.layer"] = path
    for old, path in layers.items():
        value = model.graph.initializers.get(old)
        if value is not None and f"{path}.weight" not in model.graph.initializers:
            value.name = f"{path}.weight"


def _weight_name(value: ir.Value | None) -> str | None:
    """Name of the constant that `value` is, or is the dequantised or transposed form of."""
    while value is not None and not value.is_initializer():
        node = value.producer()
        if node is None or node.op_type not in ("DequantizeLinear", "Transpose"):
            return None
        value = node.inputs[0]
    return None if value is None else value.name


def _stacked_linear(editor: Editor, node: ir.Node) -> None:
    """A linear layer over [.., L, C] arrives as MatMul, Add, for which there is no int8 kernel
    with a bias. As Gemm over [N * L, C] it is one QGemm.
    """
    if node.op_type != "MatMul":
        return
    transpose = producer(node.inputs[1], "Transpose")
    weight = transpose.inputs[0] if transpose is not None else None
    dequantizer = producer(weight, "DequantizeLinear")
    before = dequantizer_before(node.inputs[0])
    if dequantizer is None or before is None or dequantizer.inputs[0].shape is None:
        return
    add = only_reader(node.outputs[0], "Add")
    bias = None
    if add is not None:
        other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
        bias = other if array_of(other) is not None else None
    last = add if add is not None and bias is not None else node
    after = quantizer_after(last.outputs[0])
    shape = node.inputs[0].shape
    if after is None or shape is None or not all(isinstance(d, int) for d in shape[1:]):
        return
    wide, narrow = int(dequantizer.inputs[0].shape[0]), int(dequantizer.inputs[0].shape[1])
    flat = editor.constant(np.array([-1, narrow], np.int64), "shape")
    full = editor.constant(np.array([-1, *(int(d) for d in shape[1:-1]), wide], np.int64), "shape")
    rows = editor.before(last, "Reshape", [before[0].inputs[0], flat])
    rows = editor.before(last, "DequantizeLinear", [rows, *before[0].inputs[1:]])
    inputs = [rows, weight] if bias is None else [rows, weight, bias]
    product = editor.before(last, "Gemm", inputs, {"transB": 1})
    gemm = product.producer()
    assert gemm is not None
    gemm.name = f"{node.name}"
    gemm.metadata_props.update(node.metadata_props)
    quantizer = after[0]
    q = editor.before(quantizer, "QuantizeLinear", [product, *quantizer.inputs[1:]])
    editor.replace(quantizer.outputs[0], editor.before(quantizer, "Reshape", [q, full]))


def _global_pool(editor: Editor, node: ir.Node) -> None:
    """A mean over all positions: GlobalAveragePool has an int8 kernel, ReduceMean has none."""
    if node.op_type != "ReduceMean" or dequantizer_before(node.inputs[0]) is None:
        return
    shape = node.inputs[0].shape
    axes = array_of(node.inputs[1]) if len(node.inputs) > 1 else None
    after = quantizer_after(node.outputs[0])
    if shape is None or axes is None or after is None:
        return
    rank = len(shape)
    if rank < 3 or sorted(int(a) % rank for a in axes.reshape(-1)) != list(range(2, rank)):
        return
    pooled = editor.before(node, "GlobalAveragePool", [node.inputs[0]])
    keepdims = node.attributes.get("keepdims")
    quantizer = after[0]
    q = editor.before(quantizer, "QuantizeLinear", [pooled, *quantizer.inputs[1:]])
    if keepdims is not None and keepdims.as_int() == 0:
        spatial = editor.constant(np.arange(2, rank, dtype=np.int64), "axes")
        q = editor.before(quantizer, "Squeeze", [q, spatial])
    editor.replace(quantizer.outputs[0], q)


def _hard_activations(editor: Editor, node: ir.Node) -> None:
    """Hard-sigmoid and hard-swish, for which ONNX Runtime has no int8 kernel, from two it has.

    relu6(x + 3) is an addition whose result saturates at both ends of [0, 6]; read with a sixth
    of its scale it is hard-sigmoid, and times x it is hard-swish. Differs from the float operator
    by the 8 bits of the factor: at most one step of the output where |x| <= 3, on average none.
    """
    if node.op_type not in ("HardSwish", "HardSigmoid"):
        return
    before, after = dequantizer_before(node.inputs[0]), quantizer_after(node.outputs[0])
    if before is None or after is None:
        return
    if node.op_type == "HardSigmoid" and not _is_torch_hard_sigmoid(node):
        return
    dtype = before[1].zero_point.dtype
    info = np.iinfo(dtype)
    levels = info.max - info.min
    zero_point = np.array(info.min, dtype)
    # The constant 3 at the top of its own scale, so that it is exact.
    three = editor.constant(np.array(info.max, dtype), "three")
    scale = editor.constant(np.array(3.0 / levels, np.float32), "scale")
    low = editor.constant(zero_point, "zero_point")
    three = editor.before(node, "DequantizeLinear", [three, scale, low])
    shifted = editor.before(node, "Add", [node.inputs[0], three])
    wide = editor.constant(np.array(6.0 / levels, np.float32), "scale")
    unit = editor.constant(np.array(1.0 / levels, np.float32), "scale")
    gate = editor.before(node, "QuantizeLinear", [shifted, wide, low])
    gate = editor.before(node, "DequantizeLinear", [gate, unit, low])
    if node.op_type == "HardSwish":
        gate = editor.before(node, "Mul", [node.inputs[0], gate])
        editor.replace(node.outputs[0], gate)
        return
    # The gate is already the answer; only its scale may differ from the one that was calibrated.
    editor.replace(after[0].outputs[0], gate.producer().inputs[0])  # type: ignore[union-attr]
    for reader, _ in list(gate.producer().inputs[0].uses()):  # type: ignore[union-attr]
        if reader.op_type == "DequantizeLinear":
            reader.replace_input_with(1, unit)
            reader.replace_input_with(2, low)


def _is_torch_hard_sigmoid(node: ir.Node) -> bool:
    """ONNX's default slope is 0.2; torch's is 1/6."""
    alpha, beta = node.attributes.get("alpha"), node.attributes.get("beta")
    return (
        alpha is not None
        and abs(alpha.as_float() - 1 / 6) < _CLOSE
        and (beta is None or abs(beta.as_float() - 0.5) < _CLOSE)
    )


def _saturating(editor: Editor, node: ir.Node) -> None:
    """A Relu or Clip before Q does nothing where the integers end at the same number; where they
    do not (symmetric scales), it is done on the integers, so that the operator before it can
    still be fused with its Q.
    """
    if node.op_type not in ("Relu", "Clip"):
        return
    after = quantizer_after(node.outputs[0])
    if after is None or node.inputs[0] is None:
        return
    quantizer, qparams = after
    low, high = _bounds(node)
    if low is None or high is None or qparams.axis is not None:
        return
    step = float(qparams.scale)
    clipped = quantizer.outputs[0]
    # The kernel's own rounding is half a step; an end that is closer than that is the same end.
    if low > qparams.lowest + step / 2 or high < qparams.highest - step / 2:
        q = editor.before(quantizer, "QuantizeLinear", [node.inputs[0], *quantizer.inputs[1:]])
        ends = [_quantize(low, qparams), _quantize(high, qparams)]
        limits = [editor.constant(end, "limit") for end in ends]
        clipped = editor.before(quantizer, "Clip", [q, *limits])
        editor.replace(quantizer.outputs[0], clipped)
        return
    editor.replace(node.outputs[0], node.inputs[0])


def _bounds(node: ir.Node) -> tuple[float | None, float | None]:
    if node.op_type == "Relu":
        return 0.0, float("inf")
    bounds = []
    for index, default in ((1, -float("inf")), (2, float("inf"))):
        given = node.inputs[index] if index < len(node.inputs) else None
        array = array_of(given)
        bounds.append(default if given is None else None if array is None else float(array))
    return bounds[0], bounds[1]


def _quantize(number: float, qparams: QParams) -> Array:
    info = np.iinfo(qparams.zero_point.dtype)
    value = np.round(number / float(qparams.scale)) + int(qparams.zero_point)
    return np.array(np.clip(value, info.min, info.max), qparams.zero_point.dtype)


def _moving(editor: Editor, node: ir.Node) -> None:
    """DQ -> move -> Q with one scale: moves the integers instead. Padding is with zero, which is
    the zero point.
    """
    if node.op_type not in _MOVING:
        return
    data = list(node.inputs) if node.op_type == "Concat" else [node.inputs[0]]
    befores = [dequantizer_before(value) for value in data]
    afters = [quantizer_after(output) for output in node.outputs]
    if any(b is None for b in befores) or any(a is None for a in afters):
        return
    shared = [pair[1] for pair in (*befores, *afters) if pair is not None]
    if any(q.axis is not None or not q.same_as(shared[0]) for q in shared):
        return
    if node.op_type == "Pad" and not _pads_with_zero(editor, node, shared[0]):
        return
    for index, before in enumerate(befores):
        assert before is not None
        node.replace_input_with(index, before[0].inputs[0])
    for output, after in zip(node.outputs, afters, strict=True):
        assert after is not None
        output.dtype = ir.DataType.from_numpy(shared[0].zero_point.dtype)
        editor.replace(after[0].outputs[0], output)


def _pads_with_zero(editor: Editor, node: ir.Node, qparams: QParams) -> bool:
    mode = node.attributes.get("mode")
    if mode is not None and mode.as_string() != "constant":
        return True  # reflect, edge: moves only
    given = array_of(node.inputs[2]) if len(node.inputs) > 2 else np.array(0.0)
    if given is None:
        return False
    value = editor.constant(_quantize(float(given), qparams), "pad_value")
    if len(node.inputs) > 2:
        node.replace_input_with(2, value)
    else:
        node.resize_inputs(3)
        node.replace_input_with(2, value)
    return True


def _bias(editor: Editor, node: ir.Node) -> None:
    """int32 biases at the scale of the products, as the int8 kernels add them. Recent versions of
    ONNX Runtime do this when they load a file, older ones leave the operator in float.
    """
    if node.op_type not in ("Conv", "Gemm", "ConvTranspose") or len(node.inputs) < 3:
        return
    bias = array_of(node.inputs[2])
    x, weight = dequantizer_before(node.inputs[0]), producer(node.inputs[1], "DequantizeLinear")
    w = None if weight is None else qparams_of(weight)
    if bias is None or x is None or w is None or x[1].axis is not None:
        return
    if quantizer_after(node.outputs[0]) is None:
        return
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
