"""Why a primitive of OpenVINO does not compute in int8, from what stands around its operator in the
exported file.

Sources: the low-precision transformations of OpenVINO 2026.4
(docs/articles_en/documentation/openvino-extensibility/openvino-plugin-library/advanced-guides/
low-precision-transformations), and each operator tried between Q and DQ on an x86 CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgecompress.formats.onnx.kept import why_kept
from edgecompress.formats.onnx.kinds import QUANTIZE, WEIGHTED, family
from edgecompress.formats.onnx.values import (
    data_inputs,
    dequantizer,
    flag,
    is_constant,
    label,
    readers,
    scale_and_zero_point,
)

INT8 = frozenset({
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace",
    "GlobalAveragePool", "GlobalMaxPool", "HardSwish", "MatMul", "MaxPool", "Mul", "Pad",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Resize", "Sub",
})  # fmt: skip
"""Families that are lowered when Q and DQ stand around them."""
FLOAT_OUTPUT_ALLOWED = frozenset({"Conv", "ConvTranspose", "MatMul"})
"""Families whose int8 kernels may write float."""
FLOAT = frozenset({"Interpolate", "MVN", "Math", "NormalizeL2", "RNNCell", "RNNSeq", "Softmax"})
"""Primitives that compute in float only."""
_NO_KERNEL = "OpenVINO has no int8 kernel for {}"
UNTOLD = "OpenVINO does not tell which operator it came from"


@dataclass(frozen=True)
class Setting:
    """What the reasons depend on besides the operator."""

    quantised: bool
    """Whether the exported file holds any Q/DQ."""
    kept: Mapping[str, str]
    """Modules, operators or prefixes of node names that the recipe keeps in float; why, or ''."""


def why_float(node: ir.Node | None, primitive: str, setting: Setting) -> str | None:
    """The reason for a primitive that computes in a quantised file.

    Args:
        node: its operator in the exported file, where that is known.
        primitive: its type.
        setting: see there.

    Returns:
        None where the operator is quantised on all sides, as far as the file says.

    """
    if node is None:
        return _NO_KERNEL.format(primitive) if primitive in FLOAT else UNTOLD
    if (kept := why_kept(node, setting.kept)) is not None:
        return kept
    for check in (_no_kernel, _float_input, _zero_point, _float_output):
        reason = check(node)
        if reason is not None:
            return reason
    return None


def _no_kernel(node: ir.Node) -> str | None:
    kind = family(node)
    if kind == "Resize" and node.attributes.get_string("mode", "nearest") != "nearest":
        mode = node.attributes.get_string("mode", "nearest")
        return f"OpenVINO has no int8 kernel for Resize in mode {mode}"
    if kind == "ConvTranspose" and flag(node, "group") > 1:
        return "OpenVINO has no int8 kernel for ConvTranspose in groups"
    return None if kind in INT8 else _NO_KERNEL.format(node.op_type)


def _float_input(node: ir.Node) -> str | None:
    for value in data_inputs(node):
        if _source(value) is not None or (is_constant(value) and family(node) not in WEIGHTED):
            continue
        if is_constant(value):
            return f"float weights '{value.name}' (no DequantizeLinear feeds it)"
        return f"its input '{value.name}' is not quantised (no DequantizeLinear feeds it)"
    return None


def _source(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that a value comes from, through what only moves it."""
    while value is not None and dequantizer(value) is None:
        node = value.producer()
        moving = node is not None and node.op_type in _MOVING
        value = node.inputs[0] if node is not None and moving else None
    return dequantizer(value)


_MOVING = {
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad",
    "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip


def _zero_point(node: ir.Node) -> str | None:
    """Only convolutions, and layers with constant weights, subtract a zero point from integers."""
    inputs = [value for value in data_inputs(node) if not is_constant(value)]
    kind = family(node)
    if kind == "ConvTranspose":
        inputs = inputs[:1]
    elif kind != "MatMul" or len(inputs) < 2:
        return None
    for value in inputs:
        source = _source(value)
        step = None if source is None else scale_and_zero_point(source)
        if step is not None and step[1]:
            what = "ConvTranspose" if kind == "ConvTranspose" else f"{kind} of two activations"
            return (
                f"OpenVINO's int8 {what} takes no zero point, and '{value.name}' has {step[1]}:"
                " use symmetric activations"
            )
    return None


def _float_output(node: ir.Node) -> str | None:
    if family(node) in FLOAT_OUTPUT_ALLOWED:
        return None
    value = node.outputs[0]
    after = readers(value)
    if any(reader.op_type == QUANTIZE for reader in after):
        return None
    if value.is_graph_output():
        return "its output is not quantised (it is the model's output)"
    reader = f"; {label(after[0])} reads it" if after else ""
    return f"its output is not quantised (no QuantizeLinear follows{reader})"
