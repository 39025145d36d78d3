"""Which TFLite operators NNAPI takes, and the rule that says no.

Facts from `NNAPIDelegateKernel::Validate` in tflite/delegates/nnapi/nnapi_delegate.cc
(google-ai-edge/LiteRT, commit 5c8a6d4b; before, tensorflow/lite/delegates/nnapi of
tensorflow/tensorflow), without an accelerator named, and from the operations' descriptions in
Android's NeuralNetworksTypes.h: tensors of rank 4 at most, filters with one scale per channel in
convolutions only. API levels 27 to 30 brought NNAPI 1.0 to 1.3. Later features came with updates
of Android's NNAPI module, so no API level promises them.
"""

from edgecompress.formats.tflite.graph import Operator
from edgecompress.formats.tflite.ops import EIGHT_BIT
from edgecompress.runtimes.litert.delegates.nnapi_rules import (
    GENERAL,
    NNAPI_1_1,
    NNAPI_1_2,
    NNAPI_1_3,
    Rule,
    bias,
    constant,
    corners,
    kept_dimensions,
    module_update,
    no_activation,
    no_activation_of_integers,
    no_scalar,
    not_last_axis,
    padding_value,
    plain_before_29,
    quantized_at_30,
    rank_before_29,
    rank_four,
    result,
    same_shape,
    since,
    small_window,
    symmetric_at_29,
    types,
    types_by_level,
    version,
)

UNCHECKED = frozenset({
    "BIDIRECTIONAL_SEQUENCE_LSTM", "HASHTABLE_LOOKUP", "LSH_PROJECTION", "LSTM", "RNN", "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN",
})  # fmt: skip
"""Operators that NNAPI has, with rules on up to 24 operands that are not looked at here."""


def nnapi_refusal(op: Operator, api_level: int) -> str | None:
    """The first rule that keeps an operator from being delegated; None when all allow it."""
    if op.custom or op.op_type not in _RULES:
        return f"NNAPI has no {op.op_type}"
    for rule in (*_RULES[op.op_type], *GENERAL):
        refusal = rule(op, api_level)
        if refusal is not None:
            return f"NNAPI: {refusal}"
    return None


_ANY8 = ("float32", "uint8", "int8")
_FLOAT = ("float32", "float16")
_NUMBERS = ("float32", "int32", "uint8", "int8")
_ARITHMETIC = types_by_level((27, ("float32", *EIGHT_BIT)), (NNAPI_1_3, ("int32",)))
_FLOAT_1_2: tuple[Rule, ...] = (version(1), since(NNAPI_1_2), types(*_FLOAT))
_COMPARISON: tuple[Rule, ...] = (version(2), since(NNAPI_1_2), types(*_NUMBERS, "bool"))
_LOGICAL: tuple[Rule, ...] = (version(1), since(NNAPI_1_2), types("bool"))
_ACTIVATION: tuple[Rule, ...] = (version(2), types(*_ANY8))
_FLOAT_SUM: tuple[Rule, ...] = (version(1), since(NNAPI_1_2), no_scalar, types("float32"))
_EXTREME: tuple[Rule, ...] = (version(2), since(NNAPI_1_2), types(*_ANY8))
_LARGER: tuple[Rule, ...] = (version(3), since(NNAPI_1_2), types(*_NUMBERS))
_ARG: tuple[Rule, ...] = (version(2), since(NNAPI_1_2), types(*_NUMBERS), result("int32"))
_BLOCKS: tuple[Rule, ...] = (version(2), since(NNAPI_1_1))
_SLOPED: tuple[Rule, ...] = (version(1), since(NNAPI_1_2), types(*_ANY8))

_RULES: dict[str, tuple[Rule, ...]] = {
    "ABS": _FLOAT_1_2,
    "ADD": (version(2), _ARITHMETIC, no_activation_of_integers),
    "ARG_MAX": _ARG,
    "ARG_MIN": _ARG,
    "AVERAGE_POOL_2D": (version(2), types(*_ANY8), small_window),
    "BATCH_MATMUL": (module_update(6),),
    "BATCH_TO_SPACE_ND": _BLOCKS,
    "CAST": (
        version(1),
        since(NNAPI_1_2),
        types_by_level((NNAPI_1_2, ("float32", "int32", "uint8")), (NNAPI_1_3, ("int8",))),
        result(*_NUMBERS),
    ),
    "CONCATENATION": (version(2), no_activation, types("float16", *_ANY8)),
    "CONV_2D": (version(5), bias, plain_before_29),
    "COS": _FLOAT_1_2,
    "DEPTHWISE_CONV_2D": (version(3), plain_before_29),
    "DEPTH_TO_SPACE": (types(*_ANY8),),
    "DEQUANTIZE": (version(2), types(*EIGHT_BIT), symmetric_at_29),
    "DIV": (version(1), since(NNAPI_1_1), types("float32")),
    "ELU": (version(1), since(NNAPI_1_3), types("float32")),
    "EMBEDDING_LOOKUP": (version(1), types("float32", at=1)),
    "EQUAL": _COMPARISON,
    "EXP": _FLOAT_1_2,
    "EXPAND_DIMS": (version(1), since(NNAPI_1_2), types("float16", *_NUMBERS), constant(1)),
    "FILL": (version(1), since(NNAPI_1_3), constant(0), types("float32", "int32", at=1)),
    "FLOOR": (version(1),),
    "FULLY_CONNECTED": (version(5), kept_dimensions),
    "GATHER": (
        version(2),
        since(NNAPI_1_2),
        types("float16", *_NUMBERS),
        types("int32", at=1),
    ),
    "GREATER": _COMPARISON,
    "GREATER_EQUAL": _COMPARISON,
    "HARD_SWISH": (types(*_ANY8),),
    "L2_NORMALIZATION": (version(2), no_activation),
    "L2_POOL_2D": (version(1), types(*_FLOAT)),
    "LEAKY_RELU": _SLOPED,
    "LESS": _COMPARISON,
    "LESS_EQUAL": _COMPARISON,
    "LOCAL_RESPONSE_NORMALIZATION": (version(1),),
    "LOG": _FLOAT_1_2,
    "LOGICAL_AND": _LOGICAL,
    "LOGICAL_NOT": _LOGICAL,
    "LOGICAL_OR": _LOGICAL,
    "LOGISTIC": _ACTIVATION,
    "LOG_SOFTMAX": (version(1), since(NNAPI_1_2), types("float32")),
    "MAXIMUM": _LARGER,
    "MAX_POOL_2D": _ACTIVATION,
    "MEAN": (
        version(2),
        types_by_level((NNAPI_1_1, ("float32",)), (NNAPI_1_2, EIGHT_BIT)),
        no_scalar,
    ),
    "MINIMUM": _LARGER,
    "MUL": (version(2), _ARITHMETIC, no_activation_of_integers),
    "NEG": (version(2), since(NNAPI_1_2), types("float32", "int32")),
    "NOT_EQUAL": _COMPARISON,
    "PACK": (version(2), since(NNAPI_1_3), types("float32", "int8"), not_last_axis),
    "PAD": (
        version(2),
        types_by_level((NNAPI_1_1, ("float32",)), (NNAPI_1_2, EIGHT_BIT)),
        padding_value,
    ),
    "PADV2": (version(2), since(NNAPI_1_2), types(*_ANY8)),
    "POW": _FLOAT_1_2,
    "PRELU": _SLOPED,
    "QUANTIZE": (version(2), since(NNAPI_1_2), types(*_ANY8), quantized_at_30),
    "REDUCE_ANY": (version(2), since(NNAPI_1_2), no_scalar),
    "REDUCE_MAX": _EXTREME,
    "REDUCE_MIN": _EXTREME,
    "REDUCE_PROD": _FLOAT_SUM,
    "RELU": _ACTIVATION,
    "RELU6": _ACTIVATION,
    "RELU_N1_TO_1": _ACTIVATION,
    "RESHAPE": (version(1), types(*_ANY8), constant(1)),
    "RESIZE_BILINEAR": (
        version(3),
        rank_four,
        types_by_level((27, ("float32",)), (NNAPI_1_2, EIGHT_BIT)),
        constant(1),
        corners,
    ),
    "RESIZE_NEAREST_NEIGHBOR": (
        version(3),
        since(NNAPI_1_2),
        types(*_ANY8),
        constant(1),
        corners,
    ),
    "RSQRT": (version(2), since(NNAPI_1_2), types(*_FLOAT)),
    "SELECT": (version(2), since(NNAPI_1_2), types(*_NUMBERS, at=1), same_shape),
    "SIN": _FLOAT_1_2,
    "SLICE": (version(2), since(NNAPI_1_2), types(*_NUMBERS), types("int32", at=1)),
    "SOFTMAX": (version(2), types(*_ANY8), rank_before_29),
    "SPACE_TO_BATCH_ND": _BLOCKS,
    "SPACE_TO_DEPTH": (version(2), types(*_ANY8)),
    "SPLIT": (
        version(3),
        types_by_level((NNAPI_1_2, ("float32", "uint8", "int32")), (NNAPI_1_3, ("int8",)), at=1),
        constant(0),
    ),
    "SPLIT_V": (version(2), since(NNAPI_1_3), types(*_NUMBERS), constant(1, 2)),
    "SQRT": _FLOAT_1_2,
    "SQUARED_DIFFERENCE": (
        version(2),
        types_by_level(
            (NNAPI_1_1, ("float32",)), (NNAPI_1_2, ("uint8",)), (NNAPI_1_3, ("int8", "int32"))
        ),
    ),
    "SQUEEZE": (version(1), since(NNAPI_1_1)),
    "STRIDED_SLICE": (version(2), since(NNAPI_1_1), types(*_ANY8)),
    "SUB": (
        version(3),
        types_by_level((NNAPI_1_1, ("float32",)), (NNAPI_1_2, EIGHT_BIT), (NNAPI_1_3, ("int32",))),
        no_activation_of_integers,
    ),
    "SUM": _FLOAT_SUM,
    "TANH": (version(2), types_by_level((27, ("float32",)), (NNAPI_1_2, EIGHT_BIT))),
    "TILE": (version(1), since(NNAPI_1_2), types(*_NUMBERS), types("int32", at=1)),
    "TOPK_V2": (version(2), since(NNAPI_1_2), types(*_NUMBERS), constant(1)),
    "TRANSPOSE": (version(2), since(NNAPI_1_1), constant(1)),
    "TRANSPOSE_CONV": (version(4), since(NNAPI_1_2), constant(0, 1)),
    "UNPACK": (version(2), since(NNAPI_1_3), types(*_ANY8), not_last_axis),
}
"""Operators that NNAPI has, besides UNCHECKED, with what each asks."""
