"""Why an operator of a .pte does not compute in int8."""

from collections.abc import Mapping, Sequence

from edgecompress.formats.kept import NOT_QUANTISED, kept_because
from edgecompress.runtimes.executorch.model import Node, Tensor
from edgecompress.runtimes.executorch.ops import CONVERT, FLOATS, WEIGHTED, data_of

INT8 = frozenset(
    {
        *WEIGHTED,
        "XNNAdd",
        "XNNClamp",
        "XNNConcatenate2",
        "XNNConcatenate3",
        "XNNConcatenate4",
        "XNNConcatenate5",
        "XNNGlobalAvgPooling2d",
        "XNNMaxPooling2d",
        "XNNMultiply",
        "XNNStaticReshape",
        "XNNStaticSlice",
        "XNNStaticTranspose",
        "XNNSubtract",
    }
)
"""What ExecuTorch hands to XNNPACK in int8: STATIC_QUANT in `partition/config/` of its backend."""


def why_float(
    node: Node, kept: Mapping[str, str], quantised: bool, writers: Mapping[Tensor, Node]
) -> str:
    """The reason for an operator that computes in float.

    Args:
        node: the operator.
        kept: what the recipe keeps in float, and why, or ''.
        quantised: whether anything in the file is int8.
        writers: of tensors.

    """
    for name, why in kept.items():
        if node.module == name or node.module.startswith(f"{name}."):
            return kept_because(why)
    if not quantised:
        return NOT_QUANTISED
    if not node.delegated:
        return "XNNPACK does not take it, and a portable kernel of ExecuTorch runs it in float"
    if node.op_type in WEIGHTED and node.inputs[1].dtype in ("int8", "int4"):
        return "only its weights are int8: its data is float"
    if node.op_type not in INT8:
        return f"ExecuTorch hands {node.op_type.removeprefix('XNN')} to XNNPACK in float only"
    for tensor in data_of(node):
        if tensor.dtype in FLOATS:
            writer = writers.get(tensor)
            if writer is None or writer.op_type != CONVERT:
                return f"its input is float ({_origin(tensor, writer)})"
    return "stands between DEQUANTIZE and QUANTIZE: its result is not quantised alone"


def why_convert(
    node: Node, before: Sequence[Node], after: Sequence[Node], at_edge: tuple[bool, bool]
) -> str:
    """The reason for a quantisation or dequantisation that floats come to or go from.

    Args:
        node: an XNNConvert.
        before: who wrote what it reads.
        after: who reads what it writes.
        at_edge: whether nothing computes before it; and after it.

    """
    if node.inputs[0].dtype in FLOATS:
        if at_edge[0]:
            return "converts the model's float input once"
        return f"quantises what {listed(before)} wrote in float"
    if at_edge[1]:
        return "converts the model's output to float once"
    return f"feeds {listed(after)}, which is not int8"


def why_move(before: Sequence[Node], at_edge: tuple[bool, bool]) -> str | None:
    """The reason for an operator that only moves floats in a quantised file; None where it could
    have moved integers, so that `why_float` knows it.
    """
    if at_edge[0]:
        return "moves the model's float input"
    if at_edge[1]:
        return "moves the model's float output"
    if all(node.op_type == CONVERT for node in before):
        return None
    return f"moves what {listed(before)} wrote in float"


def listed(nodes: Sequence[Node]) -> str:
    return ", ".join(dict.fromkeys(f"{node.op_type} '{node.name}'" for node in nodes)) or "nothing"


def _origin(tensor: Tensor, writer: Node | None) -> str:
    if writer is not None:
        return f"{writer.op_type} '{writer.name}' wrote it"
    return "a constant" if tensor.constant else "the model's own"
