"""Why a node does not compute in int8, from what stands around it in the exported file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgecompress.formats.kept import NOT_QUANTISED
from edgecompress.formats.onnx.dtypes import EIGHT_BIT, dtype_name
from edgecompress.formats.onnx.kept import why_kept
from edgecompress.formats.onnx.kinds import (
    ACTIVATION_SCALES,
    ACTIVATIONS,
    DEQUANTIZE,
    FLOAT_OUTPUT_ALLOWED,
    QUANTIZE,
    STATIC_INT8,
    WEIGHTED,
    family,
)
from edgecompress.formats.onnx.values import (
    constant,
    data_inputs,
    dequantizer,
    is_constant,
    label,
    node_name,
    quantizers,
    readers,
    readers_of_quantized,
    scale_and_zero_point,
)

_HINTS = {
    "ReduceMean": "; GlobalAveragePool has one",
    "Relu": "; it disappears only between an operator and its QuantizeLinear",
    "Clip": "; it disappears only between an operator and its QuantizeLinear",
    "Sum": "; operators in float alone read what it adds",
}


@dataclass(frozen=True)
class Setting:
    """What the reasons depend on besides the node."""

    quantised: bool
    """Whether the exported file holds any Q/DQ or integer arithmetic."""
    x86: bool
    kept: Mapping[str, str]
    """Modules, operators or prefixes of node names that the recipe keeps in float; why, or ''."""


def why_float(node: ir.Node, setting: Setting) -> str:
    """The reason for a compute node, given as it stands in the exported file where it is known."""
    if (kept := why_kept(node, setting.kept)) is not None:
        return kept
    if not setting.quantised:
        return NOT_QUANTISED
    for check in _CHECKS:
        reason = check(node)
        if reason is not None:
            return reason
    if setting.x86:
        reason = _int8_on_x86(node)
        if reason is not None:
            return reason
    return _float_bias(node) or "it is quantised on all sides, but ONNX Runtime did not fuse it"


def _no_kernel(node: ir.Node) -> str | None:
    kind = family(node)
    if kind == "Resize" and node.attributes.get_string("mode", "nearest") != "nearest":
        return f"ONNX Runtime has no int8 kernel for Resize in mode {_mode(node)}"
    if kind in STATIC_INT8:
        return None
    return f"ONNX Runtime has no int8 kernel for {node.op_type}{_HINTS.get(kind, '')}"


def _mode(node: ir.Node) -> str:
    return node.attributes.get_string("mode", "nearest")


def _float_input(node: ir.Node) -> str | None:
    for value in data_inputs(node):
        # Resize's scales and Clip's limits are constants that no kernel wants quantised.
        if dequantizer(value) is None and not is_constant(value):
            return f"its input '{value.name}' is not quantised (no DequantizeLinear feeds it)"
    return None


def _float_weights(node: ir.Node) -> str | None:
    if family(node) not in ("Conv", "MatMul", "Add", "Mul", "Concat", "Where"):
        return None
    for value in data_inputs(node):
        if not is_constant(value):
            continue
        source = dequantizer(value)
        if source is None:
            what = "weights" if family(node) in WEIGHTED else "constant input"
            return f"float {what} '{value.name}' (no DequantizeLinear feeds it)"
        before = source.inputs[0].producer() if source.inputs[0] is not None else None
        if before is not None and before.op_type == "Clip":
            return "a Clip stands between QuantizeLinear and DequantizeLinear of its weights"
    return None


def _per_channel_activation(node: ir.Node) -> str | None:
    for value in data_inputs(node):
        source = dequantizer(value)
        if source is not None and not is_constant(value) and _per_channel(source):
            return f"per-channel activation scale on its input '{value.name}'"
    for quantizer in quantizers(_written(node)):
        if _per_channel(quantizer):
            return f"per-channel activation scale on its output '{_written(node).name}'"
    return None


def _per_channel(converter: ir.Node) -> bool:
    scale = constant(converter.inputs[1])
    return scale is not None and scale.size > 1 and scale_and_zero_point(converter) is None


def _wide_activation(node: ir.Node) -> str | None:
    for value in _quantized_around(node):
        if value.dtype is not None and value.dtype not in EIGHT_BIT:
            return f"its activations are {dtype_name(value.dtype)}, not 8 bits wide"
    return None


def _written(node: ir.Node) -> ir.Value:
    """The node's output, after the activation that ONNX Runtime would fold into the node."""
    value = node.outputs[0]
    after = readers(value)
    if len(after) == 1 and after[0].op_type in ACTIVATIONS and not value.is_graph_output():
        return after[0].outputs[0]
    return value


def _float_output(node: ir.Node) -> str | None:
    if family(node) in FLOAT_OUTPUT_ALLOWED or family(node) == "ArgMax":
        return None
    value = _written(node)
    after = readers(value)
    other = [reader for reader in after if reader.op_type != QUANTIZE]
    if value.is_graph_output():
        return "its output is not quantised (it is the model's output)"
    if len(other) == len(after):
        reader = f"; {label(other[0])} reads it" if other else ""
        return f"its output is not quantised (no QuantizeLinear follows{reader})"
    if other:
        return f"its output is not only quantised: {label(other[0])} reads it in float"
    return "its output is quantised more than once" if len(after) > 1 else None


def _mixed_types(node: ir.Node) -> str | None:
    around = {dtype_name(value.dtype) for value in _quantized_around(node)}
    return (
        f"its activations are of different types: {', '.join(sorted(around))}" * (len(around) > 1)
        or None
    )


def _quantized_around(node: ir.Node) -> list[ir.Value]:
    """The quantised activations that the node reads and writes, through DQ and Q."""
    sources = [dequantizer(v) for v in data_inputs(node) if not is_constant(v)]
    found = [source.inputs[0] for source in sources if source is not None]
    found += [quantizer.outputs[0] for quantizer in quantizers(_written(node))]
    return [value for value in found if value is not None]


def _int8_on_x86(node: ir.Node) -> str | None:
    """ONNX Runtime on x86 turns int8 to uint8, but only where one Q feeds one DQ."""
    around = _quantized_around(node)
    if not any(value.dtype == ir.DataType.INT8 for value in around):
        return None
    written = {quantizer.outputs[0] for quantizer in quantizers(_written(node))}
    for value in around:
        sharing = readers_of_quantized(value)
        if len(sharing) > 1:
            side = "output" if value in written else "input"
            kinds = " and ".join(sorted(reader.op_type for reader in sharing))
            return (
                f"its {side} is shared by {kinds} while activations are int8"
                " (on x86 ONNX Runtime fuses only uint8)"
            )
    return "its activations are int8 (on x86 ONNX Runtime fuses only uint8)"


def _float_bias(node: ir.Node) -> str | None:
    bias = node.inputs[2] if family(node) in WEIGHTED and len(node.inputs) > 2 else None
    if bias is None or dequantizer(bias) is not None:
        return None
    return f"its bias '{bias.name}' is float (no DequantizeLinear feeds it)"


_CHECKS: tuple[Callable[[ir.Node], str | None], ...] = (
    _no_kernel,
    _float_input,
    _float_weights,
    _per_channel_activation,
    _wide_activation,
    _float_output,
    _mixed_types,
)
"""In order: the first that applies is the reason."""


def why_fails(node: ir.Node) -> str | None:
    """The reason for a node of the optimised graph whose kernel will refuse it, None for others.

    ONNX Runtime 1.31 fuses a convolution whose activations have a scale per channel, and its
    kernel then ends the first inference with an error.
    """
    for side, index in ACTIVATION_SCALES.get(node.op_type, {}).items():
        scale = constant(node.inputs[index]) if index < len(node.inputs) else None
        if scale is not None and scale.size > 1:
            return (
                f"fails at the first inference: per-channel activation scale on its {side}"
                f" ({scale.size} scales; ONNX Runtime's {node.op_type} takes one per tensor)"
            )
    return None


def why_convert(node: ir.Node, float_names: frozenset[str], after: bool, before: bool) -> str:
    """The reason for a Q or DQ node of the optimised graph.

    `float_names` are the nodes that compute or move floats; `after` and `before` say whether a
    compute node leads to this one, and whether this one leads to a compute node.
    """
    if node.op_type == "DynamicQuantizeLinear":
        return "finds the range of its input at every inference: quantise statically instead"
    if node.op_type == DEQUANTIZE:
        if is_constant(node.inputs[0]):
            return f"unpacks stored integers for {_list(readers(node.outputs[0]))}"
        if not before:
            return "converts the model's output to float once"
        reading = readers(node.outputs[0])
        floats = tuple(reader for reader in reading if node_name(reader) in float_names)
        if floats:
            return f"feeds {_list(floats)}, which is not int8"
        if all(reader.op_type == QUANTIZE for reader in reading):
            return "changes from one scale to another"
        return f"feeds {_list(reading)}"
    if not after:
        return "converts the model's float input once"
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    if source is not None and source.op_type != DEQUANTIZE:
        return f"quantises what {label(source)} wrote in float"
    return "changes from one scale to another"


def why_move(node: ir.Node, after: bool, before: bool) -> str:
    """The reason for a node of the optimised graph that moves floats in a quantised file."""
    if not after:
        return "moves the model's float input"
    if not before:
        return "moves the model's float output"
    value = node.inputs[0]
    source = dequantizer(value)
    if source is None:
        writer = value.producer() if value is not None else None
        return f"moves what {label(writer)} wrote in float" if writer else "moves constants"
    reading = readers(node.outputs[0])
    other = tuple(reader for reader in reading if reader.op_type != QUANTIZE)
    if other:
        return f"moves floats to {_list(other)}"
    for quantizer in reading:
        types = [dtype_name(v.dtype) for v in (source.inputs[0], quantizer.outputs[0]) if v]
        if types[0] != types[1]:
            return f"its input is {types[0]} and its output {types[1]}: only equal types are fused"
        if scale_and_zero_point(source) != scale_and_zero_point(quantizer):
            return "its output is quantised with another scale than its input"
    return f"ONNX Runtime left the Q and DQ around this {node.op_type} in place"


def _list(nodes: tuple[ir.Node, ...]) -> str:
    return ", ".join(label(node) for node in nodes) or "nothing"
