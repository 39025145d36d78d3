"""What is known of operators by their kind: types, MACs, and which compute."""

from collections.abc import Callable
from math import prod

from edgecompress.formats.counting import by_rule
from edgecompress.runtimes.executorch.model import Node, Tensor

CONVERT = "XNNConvert"
MOVES = frozenset(
    {
        "XNNCopy",
        "XNNStaticConstantPad",
        "XNNStaticReshape",
        "XNNStaticSlice",
        "XNNStaticTranspose",
        "XNNConcatenate2",
        "XNNConcatenate3",
        "XNNConcatenate4",
        "XNNConcatenate5",
        "aten::_clone_dim_order",
        "aten::_to_copy",
        "aten::as_strided_copy",
        "aten::cat",
        "aten::clone",
        "aten::constant_pad_nd",
        "aten::copy",
        "aten::copy_",
        "aten::detach_copy",
        "aten::diagonal_copy",
        "aten::embedding",
        "aten::empty",
        "aten::expand_copy",
        "aten::fill",
        "aten::flip",
        "aten::full",
        "aten::full_like",
        "aten::gather",
        "aten::index",
        "aten::index_select",
        "aten::lift_fresh_copy",
        "aten::masked_fill",
        "aten::narrow_copy",
        "aten::ones",
        "aten::permute_copy",
        "aten::pixel_shuffle",
        "aten::pixel_unshuffle",
        "aten::reflection_pad1d",
        "aten::reflection_pad2d",
        "aten::reflection_pad3d",
        "aten::repeat",
        "aten::replication_pad1d",
        "aten::replication_pad2d",
        "aten::replication_pad3d",
        "aten::roll",
        "aten::scalar_tensor",
        "aten::select_copy",
        "aten::slice_copy",
        "aten::split_copy",
        "aten::split_with_sizes_copy",
        "aten::squeeze_copy",
        "aten::stack",
        "aten::t_copy",
        "aten::transpose_copy",
        "aten::unbind_copy",
        "aten::unfold_copy",
        "aten::unsqueeze_copy",
        "aten::upsample_nearest2d",
        "aten::view_copy",
        "aten::where",
        "aten::zeros",
        "dim_order_ops::_clone_dim_order",
        "dim_order_ops::_to_dim_order_copy",
        "et_copy_::copy_",
        "executorch_prim::et_view",
        "move",
    }
)
"""They put numbers elsewhere, and change none."""
FLOATS = ("float16", "float32", "float64", "bfloat16")
WEIGHTED = frozenset({"XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d", "XNNFullyConnected"})
"""Their inputs are data, weight and, where there is one, bias."""
_KNOWN = ("aten::", "dim_order_ops::", "executorch_prim::", "et_copy_::", "XNN", "move")
"""What operators whose MACs are known begin with; what else there is may multiply."""
_REFUSED = frozenset({"XNNScaledDotProductAttention"})


def data_of(node: Node) -> tuple[Tensor, ...]:
    """What the operator computes on: neither bias, nor sizes, indices and masks."""
    if node.op_type in WEIGHTED:
        return node.inputs[:2]
    wanted = ("int8", "uint8", *FLOATS)
    return tuple(tensor for tensor in node.inputs if tensor.dtype in wanted) or node.inputs


def compute_dtype(node: Node) -> str:
    """The type that the operator computes in; 'int8' stands for uint8 as well.

    Where types differ it is the float one: XNNPACK's layers of float data and int8 weights find the
    range of the data at every inference.
    """
    dtypes = [tensor.dtype for tensor in (*data_of(node), *node.outputs)]
    floats = [dtype for dtype in dtypes if dtype in FLOATS]
    if floats:
        return floats[0]
    if any(dtype in ("int8", "uint8", "int4") for dtype in dtypes):
        return "int8"
    return dtypes[0] if dtypes else "none"


def computes(node: Node) -> bool:
    """Whether it does arithmetic on the model's data, in int8 or in float."""
    moves = node.op_type in MOVES or node.op_type == CONVERT
    return not moves and compute_dtype(node) in ("int8", *FLOATS)


def macs_of(node: Node) -> int:
    """Multiply-accumulates of one inference; as in other formats, sums and elementwise operators
    count as 0.

    Raises:
        Uncountable: an operator that multiplies, but not by how much.

    """
    refused = _REFUSED if node.op_type.startswith(_KNOWN) else {node.op_type}
    return by_rule(node, node.op_type, _RULES, refused)


def _windows(node: Node) -> int:
    """Each output element sums over a window of the channels of its group."""
    options = node.options
    window = options["kernel_height"] * options["kernel_width"] * options["group_input_channels"]
    return prod(node.outputs[0].shape) * window


def _spread(node: Node) -> int:
    """Each input element goes into a window of the channels of its group."""
    options = node.options
    window = options["kernel_height"] * options["kernel_width"] * options["group_output_channels"]
    return prod(node.inputs[0].shape) * window


def _fully_connected(node: Node) -> int:
    # Weights are [out, in].
    return prod(node.outputs[0].shape) * node.inputs[1].shape[1]


def _product(node: Node) -> int:
    """The product of matrices: [.., rows, summed] x [.., summed, columns]."""
    return prod(node.outputs[0].shape) * node.inputs[-2].shape[-1]


def _convolution(node: Node) -> int:
    """convolution(input, weight, bias, stride, padding, dilation, transposed, ..)."""
    x, weight = node.inputs[:2]
    size = prod(weight.shape) // weight.shape[0]
    return prod((x if node.options["6"] else node.outputs[0]).shape) * size


def _linear(node: Node) -> int:
    return prod(node.outputs[0].shape) * node.inputs[0].shape[-1]


_RULES: dict[str, Callable[[Node], int]] = {
    "XNNConv2d": _windows,
    "XNNDepthwiseConv2d": _windows,
    "XNNConvTranspose2d": _spread,
    "XNNFullyConnected": _fully_connected,
    "XNNBatchMatrixMultiply": _product,
    "aten::convolution": _convolution,
    "aten::linear": _linear,
    "aten::mm": _product,
    "aten::bmm": _product,
    "aten::addmm": _product,
}
