"""What TFLite's operators are: tables, and the MACs of one.

Sources: tensorflow/lite/schema/schema.fbs for operands and layouts; INT8_KERNELS was checked by
running one-operator int8 files in ai-edge-litert 2.3 without delegates.
"""

from collections.abc import Callable
from math import prod

from edgecompress.formats.counting import Uncountable, by_rule
from edgecompress.formats.tflite.graph import Operator, Tensor

QUANTIZE = "QUANTIZE"
DEQUANTIZE = "DEQUANTIZE"
CONVERSIONS = frozenset({QUANTIZE, DEQUANTIZE})

EIGHT_BIT = ("int8", "uint8")
FLOATS = ("float16", "bfloat16", "float32", "float64")

MOVES = frozenset({
    "BATCH_TO_SPACE_ND", "BROADCAST_ARGS", "BROADCAST_TO", "CALL_ONCE", "CAST", "DENSIFY",
    "DEPTH_TO_SPACE", "DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP", "EXPAND_DIMS", "FILL", "GATHER",
    "GATHER_ND", "MIRROR_PAD", "PACK", "PAD", "PADV2", "RANGE", "RANK", "READ_VARIABLE",
    "ASSIGN_VARIABLE", "RESHAPE", "REVERSE_SEQUENCE", "REVERSE_V2", "SCATTER_ND", "SHAPE", "SLICE",
    "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE",
    "TRANSPOSE", "UNPACK", "VAR_HANDLE", "ZEROS_LIKE",
})  # fmt: skip
"""Operators that only move, convert or describe data."""

RUNS_OTHERS = frozenset({"CALL", "IF", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE", "WHILE"})
"""Operators whose work is that of other subgraphs, which are listed by themselves."""

TYPED_BY_INPUT = frozenset({
    "ARG_MAX", "ARG_MIN", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL",
})  # fmt: skip
"""Operators whose output's type says nothing about what they compute in."""

INT8_KERNELS = frozenset({
    "ABS", "ADD", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION",
    "CONV_2D", "DEPTHWISE_CONV_2D", "ELU", "EQUAL", "EXP", "FULLY_CONNECTED", "GELU", "GREATER",
    "GREATER_EQUAL", "HARD_SWISH", "L2_NORMALIZATION", "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG",
    "LOGISTIC", "LOG_SOFTMAX", "LSTM", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "NEG",
    "NOT_EQUAL", "PRELU", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT",
    "SELECT_V2", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE", "SUB", "SUM", "SVDF", "TANH", "TOPK_V2",
    "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM",
})  # fmt: skip
"""Operators that LiteRT computes in int8 when their data is."""

_DATA = {
    "BATCH_MATMUL": (0, 1),
    "CONV_2D": (0,),
    "CONV_3D": (0,),
    "CONV_3D_TRANSPOSE": (2,),
    "DEPTHWISE_CONV_2D": (0,),
    "FULLY_CONNECTED": (0,),
    "SPLIT": (1,),
    "TRANSPOSE_CONV": (2,),
}
"""Which inputs hold data, where not all do; weights and numbers that describe are the others."""

ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
"""The schema's numbers of fused activation functions."""
WEIGHTED = {
    "CONV_2D": (0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (0, 1, 2, 0),
    "TRANSPOSE_CONV": (2, 1, 3, 0),
}
"""Kernels with weights -> places of data, weights and bias among the inputs, and the dimension of
the weights that runs over output channels.
"""
_FLOAT_WEIGHTED = ("CONV_3D", "CONV_3D_TRANSPOSE")
"""Those without int8 kernels; their weights are the second input, as the others' are."""


def data_inputs(op: Operator) -> list[Tensor]:
    """What the operator computes on: neither weights, nor sizes, axes and the like."""
    chosen = _DATA.get(op.op_type)
    inputs = op.inputs if chosen is None else [op.inputs[i] for i in chosen if i < len(op.inputs)]
    numbers = ("int32", "int64", "bool")
    return [t for t in inputs if t is not None and (chosen is not None or t.dtype not in numbers)]


def weights(op: Operator) -> Tensor | None:
    has = op.op_type in WEIGHTED or op.op_type in _FLOAT_WEIGHTED
    return op.inputs[1] if has and len(op.inputs) > 1 else None


def compute_dtype(op: Operator) -> str:
    """The type that the operator computes in; 'int8' stands for uint8 as well.

    int8 needs int8 data, weights and results: of a layer with float data and int8 weights, LiteRT
    finds the range of the data at every inference.
    """
    by_input = op.op_type in TYPED_BY_INPUT or not op.outputs
    results = [] if by_input else [op.outputs[0]]
    weight = weights(op)
    tensors = [*results, *data_inputs(op), *([weight] if weight is not None else [])]
    dtypes = [tensor.dtype for tensor in tensors]
    floats = [dtype for dtype in dtypes if dtype in FLOATS]
    if floats:
        return floats[0]
    if any(dtype in (*EIGHT_BIT, "int4") for dtype in dtypes):
        return "int16" if "int16" in dtypes else "int8"
    return dtypes[0] if dtypes else "none"


def computes(op: Operator) -> bool:
    """Whether it does arithmetic on the model's data, in int8 or in float."""
    moves = op.op_type in MOVES or op.op_type in CONVERSIONS or op.op_type in RUNS_OTHERS
    return not moves and compute_dtype(op) in ("int8", "int16", *FLOATS)


def macs_of(op: Operator) -> int:
    """Multiply-accumulates of one inference; as in `edgecompress.formats.onnx.macs`, sums and
    elementwise operators count as 0.

    Raises:
        Uncountable: an operator that multiplies, but not by how much.

    """
    return by_rule(op, op.op_type, _RULES, _REFUSED)


def _input(op: Operator, index: int) -> tuple[int, ...]:
    tensor = op.inputs[index]
    if tensor is None or any(size < 1 for size in tensor.shape):
        raise Uncountable("a shape is not known")
    return tensor.shape


def _conv(op: Operator) -> int:
    # Weights are [out, kernel.., in / group]: each output element sums over all but the first.
    return prod(op.outputs[0].shape) * prod(_input(op, 1)[1:])


def _depthwise(op: Operator) -> int:
    # Weights are [1, kernel.., out].
    return prod(op.outputs[0].shape) * prod(_input(op, 1)[1:-1])


def _conv_3d(op: Operator) -> int:
    # Weights are [kernel.., in, out].
    return prod(op.outputs[0].shape) * prod(_input(op, 1)[:-1])


def _transpose_conv(op: Operator) -> int:
    # Weights are [out, kernel.., in]: each input element goes into all but the last.
    return prod(_input(op, 2)) * prod(_input(op, 1)[:-1])


def _conv_3d_transpose(op: Operator) -> int:
    # Weights are [kernel.., out, in].
    return prod(_input(op, 2)) * prod(_input(op, 1)[:-1])


def _fully_connected(op: Operator) -> int:
    # Weights are [out, in].
    return prod(op.outputs[0].shape) * _input(op, 1)[1]


def _batch_matmul(op: Operator) -> int:
    # Either operand may be transposed, so the summed dimension is the one that is left over.
    left, out = _input(op, 0), op.outputs[0].shape
    return prod(out) * (left[-1] * left[-2] // out[-2])


def _lstm(op: Operator) -> int:
    """Every weight is used once a step; [steps, batch, inputs] or [batch, steps, inputs] comes."""
    used = [op.inputs[index] for index in (*range(1, 9), 16)]
    sizes: list[int] = [prod(weight.shape) for weight in used if weight is not None]
    return prod(_input(op, 0)[:-1]) * sum(sizes)


_RULES: dict[str, Callable[[Operator], int]] = {
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "CONV_3D": _conv_3d,
    "CONV_3D_TRANSPOSE": _conv_3d_transpose,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}

_REFUSED = frozenset({
    "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "LSTM", "RFFT2D", "RNN",
    "STABLEHLO_CONVOLUTION", "STABLEHLO_DOT_GENERAL", "SVDF", "UNIDIRECTIONAL_SEQUENCE_RNN",
})  # fmt: skip
"""Operators that multiply, and whose count would have to be invented."""
