"""What the operators of ONNX and of ONNX Runtime's own domains are: tables, and little else.

Sources: onnxruntime/docs/ContribOperators.md and OperatorKernels.md, core/graph/contrib_ops, and
core/optimizer/qdq_transformer/selectors_actions; STATIC_INT8 was checked by running each operator
between Q and DQ in ONNX Runtime 1.31 on x86.
"""

import onnx_ir as ir

NCHWC = "com.microsoft.nchwc"
"""Float operators on blocked channels: padded up to the width of a vector register."""
NHWC = "com.ms.internal.nhwc"

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
CONVERSIONS = frozenset({QUANTIZE, DEQUANTIZE, "DynamicQuantizeLinear"})

ALWAYS_INT8 = frozenset({
    "QGemm", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM", "QAttention", "QOrderedMatMul", "QOrderedAttention",
})  # fmt: skip
"""Besides everything that starts with QLinear."""

EIGHT_BIT = (ir.DataType.INT8, ir.DataType.UINT8)
FLOATS = ("float16", "bfloat16", "float32", "float64")

MOVES = frozenset({
    "BitCast", "Cast", "CastLike", "Constant", "ConstantOfShape", "DepthToSpace", "Dropout",
    "Expand", "EyeLike", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Pad",
    "Range", "ReorderInput", "ReorderOutput", "Reshape", "ScatterElements", "ScatterND", "Shape",
    "Size", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators that only move, convert or describe data."""

TYPED_BY_INPUT = frozenset({
    "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsNaN",
    "IsInf",
})  # fmt: skip
"""Operators whose output's type says nothing about what they compute in."""

_FAMILIES = {
    "ConvInteger": "Conv",
    "FusedConv": "Conv",
    "DynamicQuantizeMatMul": "MatMul",
    "FusedGemm": "MatMul",
    "FusedMatMul": "MatMul",
    "Gemm": "MatMul",
    "MatMulInteger": "MatMul",
    "MatMulIntegerToFloat": "MatMul",
    "QGemm": "MatMul",
    "QAttention": "Attention",
    "DynamicQuantizeLSTM": "LSTM",
}

STATIC_INT8 = frozenset({
    "Add", "ArgMax", "AveragePool", "Concat", "Conv", "GlobalAveragePool", "LeakyRelu", "MatMul",
    "MaxPool", "Mul", "ReduceMax", "ReduceMin", "Resize", "Sigmoid", "Softmax", "Where",
})  # fmt: skip
"""Families that become int8 on the CPU when Q and DQ stand around them."""

WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul"})
"""Families whose second input is usually a layer's weight."""

FLOAT_OUTPUT_ALLOWED = frozenset({"MatMul"})
"""Families with int8 kernels that may write float."""

ACTIVATIONS = frozenset({"Relu", "Clip"})
"""What ONNX Runtime folds into the QuantizeLinear after it."""


ACTIVATION_SCALES = {
    "QLinearConv": {"input": 1, "output": 6},
    "QLinearGlobalAveragePool": {"input": 1, "output": 3},
    "QLinearMatMul": {"input": 1, "output": 6},
}
"""Inputs that hold the scales of activations, in kernels that check them when they run."""

FAILS = "none"
"""The dtype of a node that ONNX Runtime fused and then refuses to run."""


REARRANGING = frozenset({
    "DepthToSpace", "Flatten", "Identity", "Reshape", "SpaceToDepth", "Squeeze", "Transpose",
    "Unsqueeze",
})  # fmt: skip
"""Operators of the standard that give every number that they were given, in another order."""


def family(node: ir.Node) -> str:
    """The plain operator behind a fused or quantised one: Conv for QLinearConv and FusedConv."""
    plain = node.op_type.removeprefix("QLinear").removeprefix("Nhwc")
    return _FAMILIES.get(plain, plain)


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
