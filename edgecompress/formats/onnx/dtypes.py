"""The types that nodes of an ONNX file compute in."""

import onnx_ir as ir

from edgecompress.formats.onnx.kinds import (
    ALWAYS_INT8,
    CONVERSIONS,
    FLOATS,
    MOVES,
    QUANTIZE,
    TYPED_BY_INPUT,
)

EIGHT_BIT = (ir.DataType.INT8, ir.DataType.UINT8)


def dtype_name(dtype: ir.DataType | None) -> str:
    """As numpy writes it: float32, int8; 'string'; 'unknown' where the file does not say."""
    if dtype is None or dtype == ir.DataType.UNDEFINED:
        return "unknown"
    return "string" if dtype == ir.DataType.STRING else str(dtype.numpy())


def compute_dtype(node: ir.Node) -> str:
    """The type that a node's kernel computes in; 'int8' stands for uint8 as well.

    The node's values must carry types (see propagate).
    """
    if node.op_type.startswith("QLinear") or node.op_type in ALWAYS_INT8:
        return "int8"
    by_input = node.op_type in TYPED_BY_INPUT or node.op_type in (QUANTIZE, "DynamicQuantizeLinear")
    value = node.inputs[0] if by_input and node.inputs else node.outputs[0]
    dtype = value.dtype if value is not None else None
    return "int8" if dtype in EIGHT_BIT else dtype_name(dtype)


def computes(node: ir.Node, dtype: str) -> bool:
    """Whether the node does arithmetic on the model's data, in int8 or in float."""
    moves = node.op_type in MOVES or node.op_type in CONVERSIONS
    return not moves and (dtype == "int8" or dtype in FLOATS)
