"""Whether a LiteRT delegate takes an operator, by the rules that its documentation gives.

Nothing is run: a driver or a build may refuse more. What it really took is in the log of
benchmark_model, and in the notes of a measurement.
"""

from collections.abc import Callable
from typing import NamedTuple

from edgecompress.formats.tflite.graph import Operator
from edgecompress.formats.tflite.ops import ACTIVATIONS, compute_dtype, data_inputs
from edgecompress.runtimes.litert.delegates.nnapi import UNCHECKED, nnapi_refusal
from edgecompress.runtimes.litert.target import DelegateName

GPU_FLOAT16 = "the GPU delegate computes in float16"


class Delegation(NamedTuple):
    taken: bool | None
    """None: the rules do not say."""
    reason: str | None
    """Why not, or why it is not said."""


def delegation(op: Operator, delegate: DelegateName, api_level: int | None) -> Delegation:
    """Whether `delegate` takes the operator; `api_level` is Android's, for NNAPI."""
    return _RULES[delegate](op, api_level)


def _nnapi(op: Operator, api_level: int | None) -> Delegation:
    if api_level is None:
        return Delegation(None, "NNAPI's rules depend on the API level, which is not given")
    if op.op_type in UNCHECKED:
        return Delegation(None, f"NNAPI's rules for {op.op_type} are not looked at")
    refusal = nnapi_refusal(op, api_level)
    return Delegation(refusal is None, refusal)


def _gpu(_op: Operator, _: int | None) -> Delegation:
    return Delegation(None, "which operators the GPU takes depends on the phone's driver")


def _xnnpack(op: Operator, _: int | None) -> Delegation:
    """See "Quantized Operators" in tflite/delegates/xnnpack/README.md of google-ai-edge/LiteRT."""
    if compute_dtype(op) != "int8" and op.op_type not in ("QUANTIZE", "DEQUANTIZE"):
        return Delegation(None, None)
    if op.op_type not in _XNNPACK:
        return Delegation(None, f"XNNPACK's documentation lists no int8 {op.op_type}")
    for rule in _XNNPACK[op.op_type]:
        refusal = rule(op)
        if refusal is not None:
            return Delegation(False, f"XNNPACK: {refusal}")
    return Delegation(True, None)


_RULES: dict[DelegateName, Callable[[Operator, int | None], Delegation]] = {
    "xnnpack": _xnnpack,
    "nnapi": _nnapi,
    "gpu": _gpu,
}


def _activation(op: Operator) -> str | None:
    fused = ACTIVATIONS[op.option("fusedActivationFunction")]
    return f"{op.op_type} fused with {fused}" if fused in ("TANH", "SIGN_BIT") else None


def _bias(op: Operator) -> str | None:
    has = len(op.inputs) > 2 and op.inputs[2] is not None
    return None if has else f"{op.op_type} needs a bias"


def _static(op: Operator) -> str | None:
    """Weights and bias, sizes and axes: all but the data."""
    data = data_inputs(op)
    others = [t for t in op.inputs if t is not None and t not in data]
    found = next((tensor for tensor in others if not tensor.constant), None)
    return None if found is None else f"'{found.name}' must be a constant"


def _whole_scale(op: Operator) -> str | None:
    several = any(t is not None and t.per_channel for t in (*op.inputs, *op.outputs))
    return f"{op.op_type} with one scale per channel" if several else None


def _window(op: Operator) -> str | None:
    sizes = {op.option("filterWidth"), op.option("filterHeight")}
    strides = {op.option("strideW"), op.option("strideH")}
    return "1x1 pooling with a stride" if sizes == {1} and strides != {1} else None


_XNNPACK: dict[str, tuple[Callable[[Operator], str | None], ...]] = {
    "ADD": (_activation,),
    "CONCATENATION": (),
    "CONV_2D": (_bias, _static, _activation),
    "DEPTHWISE_CONV_2D": (_bias, _static, _activation),
    "DEPTH_TO_SPACE": (),
    "DEQUANTIZE": (_whole_scale,),
    "ELU": (),
    "FULLY_CONNECTED": (_static, _activation),
    "LEAKY_RELU": (),
    "LOGISTIC": (),
    "MAX_POOL_2D": (_window, _activation),
    "MEAN": (_static,),
    "MUL": (_activation,),
    "PAD": (_static,),
    "QUANTIZE": (_whole_scale,),
    "RESHAPE": (_static,),
    "RESIZE_BILINEAR": (_static,),
    "SLICE": (_static,),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (_static,),
    "SUB": (_activation,),
    "TANH": (),
    "TRANSPOSE": (_static,),
    "TRANSPOSE_CONV": (_static,),
}
