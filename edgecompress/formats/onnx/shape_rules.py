"""Shapes of ONNX Runtime's operators that have no standard operator of the same shape."""

from collections.abc import Callable

import onnx_ir as ir

from edgecompress.formats.onnx.values import flag, shape_of

Shape = tuple[int, ...]
Info = tuple[ir.DataType | None, Shape | None]
UNKNOWN: Info = (None, None)


def _dtype(node: ir.Node, index: int) -> ir.DataType | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return value.dtype if value is not None else None


def _quantize(node: ir.Node) -> Info:
    asked = flag(node, "output_dtype")
    dtype = _dtype(node, 2) or (ir.DataType(asked) if asked else ir.DataType.UINT8)
    return dtype, shape_of(node.inputs[0])


def _dequantize(node: ir.Node) -> Info:
    return _dtype(node, 1), shape_of(node.inputs[0])


def _concat(node: ir.Node) -> Info:
    """Inputs: scale and zero point of the output, then value, scale, zero point of each part."""
    shapes = [shape_of(value) for value in node.inputs[2::3]]
    first = shapes[0]
    if first is None:
        return _dtype(node, 2), None
    axis = node.attributes.get_int("axis", 1) % len(first)
    total = 0
    for shape in shapes:
        if shape is None:
            return _dtype(node, 2), None
        total += shape[axis]
    return _dtype(node, 2), (*first[:axis], total, *first[axis + 1 :])


def _reorder_input(node: ir.Node) -> Info:
    """Into the blocked layout, which is written here as [N, C, spatial..]."""
    shape = shape_of(node.inputs[0])
    if shape is not None and flag(node, "channels_last"):
        shape = (shape[0], shape[-1], *shape[1:-1])
    return _dtype(node, 0), shape


def _reorder_output(node: ir.Node) -> Info:
    """Out of the blocked layout, which drops the channels that padded the last block."""
    shape = shape_of(node.inputs[0])
    if shape is None:
        return _dtype(node, 0), None
    channels = node.attributes.get_int("channels", shape[1])
    if flag(node, "channels_last"):
        return _dtype(node, 0), (shape[0], *shape[2:], channels)
    return _dtype(node, 0), (shape[0], channels, *shape[2:])


def _blocked_upsample(node: ir.Node) -> Info:
    shape, scales = shape_of(node.inputs[0]), node.attributes.get_ints("scales", ())
    if shape is None or len(scales) != len(shape):
        return _dtype(node, 0), None
    return _dtype(node, 0), tuple(d * s for d, s in zip(shape, scales, strict=True))


def _packed_attention(node: ir.Node) -> Info:
    """Attention and QAttention of com.microsoft: weights are [input, Q + K + V]."""
    values, weights = shape_of(node.inputs[0]), shape_of(node.inputs[1])
    dtype = _dtype(node, 3) if node.op_type == "QAttention" else _dtype(node, 0)
    if values is None or weights is None:
        return dtype, None
    sizes = node.attributes.get_ints("qkv_hidden_sizes", ())
    return dtype, (*values[:-1], sizes[2] if len(sizes) == 3 else weights[-1] // 3)


def _multi_head_attention(node: ir.Node) -> Info:
    query = shape_of(node.inputs[0])
    value = shape_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if query is None or value is None or len(query) != 3:
        return _dtype(node, 0), None
    width = value[-1] if len(value) == 3 else value[1] * value[3]
    return _dtype(node, 0), (*query[:-1], width)


def _embedding(node: ir.Node) -> Info:
    ids, table = shape_of(node.inputs[0]), shape_of(node.inputs[2])
    return _dtype(node, 2), (*ids, table[-1]) if ids is not None and table is not None else None


def _block_matmul(node: ir.Node) -> Info:
    left = shape_of(node.inputs[0])
    return _dtype(node, 0), (*left[:-1], flag(node, "N")) if left else None


Rule = Callable[[ir.Node], Info]
RULES: dict[tuple[str, str], Rule] = {
    ("", "DequantizeLinear"): _dequantize,
    ("", "QuantizeLinear"): _quantize,
    ("com.microsoft", "Attention"): _packed_attention,
    ("com.microsoft", "DequantizeLinear"): _dequantize,
    ("com.microsoft", "EmbedLayerNormalization"): _embedding,
    ("com.microsoft", "MatMulNBits"): _block_matmul,
    ("com.microsoft", "MultiHeadAttention"): _multi_head_attention,
    ("com.microsoft", "QAttention"): _packed_attention,
    ("com.microsoft", "QLinearConcat"): _concat,
    ("com.microsoft", "QuantizeLinear"): _quantize,
    ("com.microsoft.nchwc", "ReorderInput"): _reorder_input,
    ("com.microsoft.nchwc", "ReorderOutput"): _reorder_output,
    ("com.microsoft.nchwc", "Upsample"): _blocked_upsample,
}
"""(domain, operator) to the function that gives its first output's type and shape."""
