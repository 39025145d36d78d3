"""What the operators of ONNX and of ONNX Runtime's own domains are: tables, and little else.

Sources: onnxruntime/docs/ContribOperators.md and OperatorKernels.md, core/graph/contrib_ops, and
core/optimizer/qdq_transformer/selectors_actions; STATIC_INT8 was checked by running each operator
between Q and DQ in ONNX Runtime 1.31 on x86. What imports onnx_ir is in dtypes.py, because a report
needs these names too.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def family(node: "ir.Node") -> str:
    """The plain operator behind a fused or quantised one: Conv for QLinearConv and FusedConv."""
    plain = node.op_type.removeprefix("QLinear").removeprefix("Nhwc")
    return _FAMILIES.get(plain, plain)
