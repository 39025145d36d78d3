"""A captured graph as litert-torch can convert it: operators that it lacks, or gets wrong, become
others that compute the same.
"""

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from edgecompress.compress.graphs import (
    ATEN,
    CLIPPING,
    WEIGHTED,
    call_beside,
    fake,
    hold,
    input_of,
    integers_in,
    is_dequantizer,
    is_float,
    is_quantizer,
    module_path,
    only_user,
    stored,
)
from edgecompress.errors import ModelError
from edgecompress.formats.resizing import RESIZING, resize_for_tflite
from edgecompress.runtimes.conversion import straight_graph
from edgecompress.runtimes.litert.means import MEANS, average
from edgecompress.runtimes.litert.passes.kernels import NEARLY_ONE
from edgecompress.runtimes.litert.places import SPREADING, pad, pool_and_scale, spread
from edgecompress.runtimes.litert.reshapes import JOINED, clip_before, reshape_after


def captured(module: nn.Module, example_inputs: tuple[Tensor, ...], quantized: bool) -> GraphModule:
    """The operators of `module`, without those that litert-torch gets wrong or does not know.

    Args:
        module: a float module, or a converted graph with float weights -> Q -> DQ.
        example_inputs: of batch size 1.
        quantized: whether `module` has Q and DQ.

    Raises:
        ModelError: it cannot be traced, or has control flow.

    """
    # What is folded of a quantised graph was before; `eye` and `arange` have no kernel in TFLite.
    graph = straight_graph(module, example_inputs, "litert")
    _dequantize_for_each(graph)
    for node in list(graph.graph.nodes):
        if node.target in (*_MAX_POOLS, *_AVERAGE_POOLS):
            if _leaves_out_padding(node):
                node = pool_and_scale(graph, node)
            _check_pool(node)
        if quantized and node.target in MEANS:
            average(graph, node)
        elif node.target in _REWRITES:
            _REWRITES[node.target](graph, node)
        if quantized and node.target in WEIGHTED:
            _stay_in_float(graph, node)
    for node in list(graph.graph.nodes) if quantized else ():
        if _joins_in_float(node):
            _keep_scales_apart(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _dequantize_for_each(graph: GraphModule) -> None:
    """A DQ of its own for each that reads it. Where one of several readers is computed in NHWC and
    another is not, litert-torch's layout pass forgets of a shared DQ which of the two it is.
    """
    for node in list(graph.graph.nodes):
        if is_dequantizer(node) and fake(node).dim() == 4:
            for user in list(node.users)[1:]:
                with graph.graph.inserting_after(node):
                    copy = graph.graph.node_copy(node)
                user.replace_input_with(node, copy)


def _check_pool(node: Node) -> None:
    """litert-torch makes several graphs of a pool that TFLite has no kernel for."""
    if node.target in _MAX_POOLS:
        if len(node.args) > 4 and set(integers_in(node.args[4])) != {1}:
            raise _no_kernel(node, "a dilated max pool")
        return
    if node.target is ATEN.avg_pool3d.default:
        raise _no_kernel(node, "an average pool in three dimensions")
    padding = integers_in(node.args[3]) if len(node.args) > 3 else []
    # ceil_mode, count_include_pad, divisor_override
    flags, usual = node.args[4:], (False, True, None)
    if any(padding) and flags != usual[: len(flags)]:
        raise _no_kernel(node, "a padded average pool with ceil_mode or divisor_override")


def _leaves_out_padding(node: Node) -> bool:
    """Whether a padded average pool counts what is inside alone, and has no other option."""
    flags = (*node.args[4:], *(False, True, None)[len(node.args[4:]) :])
    return (
        node.target is ATEN.avg_pool2d.default
        and len(node.args) > 3
        and any(integers_in(node.args[3]))
        and flags == (False, False, None)
    )


_MAX_POOLS = (ATEN.max_pool1d.default, ATEN.max_pool2d.default, ATEN.max_pool3d.default)
_AVERAGE_POOLS = (ATEN.avg_pool1d.default, ATEN.avg_pool2d.default, ATEN.avg_pool3d.default)


def _no_kernel(node: Node, what: str) -> ModelError:
    assert isinstance(node.target, OpOverload)
    where = module_path(node) or node.target.overloadpacket.__name__
    return ModelError(f"litert: {where}: {what} has no kernel in TFLite; use one without")


def _stay_in_float(graph: GraphModule, node: Node) -> None:
    """A layer that is kept in float, between DQ and Q: litert-torch quantises its weights by
    itself. A factor keeps it from recognising the pattern; `litert_kernels.forget_factor` removes
    it from the file.
    """
    x, weight = input_of(node), node.args[1]
    if isinstance(weight, Node) and weight.op == "get_attr":
        with graph.graph.inserting_before(node):
            factor = _scalar(graph, node, NEARLY_ONE)
            node.replace_input_with(x, graph.graph.call_function(ATEN.mul.Tensor, (x, factor)))


def _joins_in_float(node: Node) -> bool:
    """Whether numbers of several tensors, or of one and what is made of it, meet here, and what
    comes of it has no scale.
    """
    if node.op != "call_function" or node.target in WEIGHTED or not _has_numbers(node):
        return False
    last = node
    while (after := only_user(last)) is not None and after.target in CLIPPING:
        last = after
    met = [x for x in node.all_input_nodes if x.op != "get_attr" and _has_numbers(x)]
    is_meeting = len(met) > 1 or (bool(met) and node.target in _BESIDE_ITSELF)
    return is_meeting and not any(is_quantizer(user) for user in last.users)


_BESIDE_ITSELF = (
    ATEN.celu.default,
    ATEN.elu.default,
    ATEN.leaky_relu.default,
    ATEN.mish.default,
    ATEN.softplus.default,
    ATEN.threshold.default,
)
"""What litert-torch writes as a choice between a tensor and a function of it."""


def _has_numbers(node: Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor) and is_float(node)


def _keep_scales_apart(graph: GraphModule, node: Node) -> None:
    """litert-torch takes concatenations, maxima, choices and their like for operators on integers,
    also where members are moved before: it gives all of them the largest scale, in which the
    smallest may have no step, or takes no account of their scales at all. The same factor keeps
    it from that.
    """
    for member in node.all_input_nodes:
        if member.op != "get_attr" and _has_numbers(member):
            with graph.graph.inserting_before(node):
                factor = _scalar(graph, node, NEARLY_ONE)
                marked = graph.graph.call_function(ATEN.mul.Tensor, (member, factor))
            node.replace_input_with(member, marked)


def _masked(graph: GraphModule, node: Node) -> None:
    """What is replaced by a number becomes zero, and gets the number added. litert-torch takes what
    replaces for data that is only moved, and gives it the scale of the other values, in which a
    mask of -50 is as small as they are, and zero is zero.
    """
    if node.target in (ATEN.masked_fill.Scalar, ATEN.masked_fill.Tensor):
        x, mask, number = node.args
        value, replaces = _number(graph, number), True
    else:
        mask, first, second = node.args
        value, replaces = _number(graph, first), True
        x = second
        if value is None:
            value, replaces, x = _number(graph, second), False, first
    if value is None or value == 0 or not isinstance(x, Node):
        return
    if not fake(x).is_floating_point():
        return
    with graph.graph.inserting_before(node):
        constant, nothing = _scalar(graph, node, value), _scalar(graph, node, 0.0)
        numbers, others = (constant, nothing), (nothing, x)
        if not replaces:
            numbers, others = numbers[::-1], others[::-1]
        offset = graph.graph.call_function(ATEN.where.self, (mask, *numbers))
        kept = graph.graph.call_function(ATEN.where.self, (mask, *others))
        added = graph.graph.call_function(ATEN.add.Tensor, (kept, offset))
    node.replace_all_uses_with(added)


def _number(graph: GraphModule, argument: object) -> float | None:
    """The value of a Python number or a constant of one element."""
    if isinstance(argument, (int, float)):
        return float(argument)
    while isinstance(argument, Node) and argument.op == "call_function":
        if argument.target not in (ATEN.lift_fresh_copy.default, ATEN.detach.default):
            return None
        argument = argument.args[0]
    if not isinstance(argument, Node) or argument.op != "get_attr":
        return None
    value = stored(graph, argument)
    return float(value) if value.numel() == 1 else None


def _scalar(graph: GraphModule, before: Node, number: float) -> Node:
    return hold(graph, before, "_litert_constant", torch.tensor(number))


def _adaptive_max_pool(graph: GraphModule, node: Node) -> None:
    """To a divisor of the size: the maximum over equal windows."""
    x, wanted = input_of(node), node.args[1]
    assert isinstance(wanted, (list, tuple))
    sizes = fake(x).shape[-2:]
    if any(size % int(want) for size, want in zip(sizes, wanted, strict=True)):
        return
    window = [int(size) // int(want) for size, want in zip(sizes, wanted, strict=True)]
    with graph.graph.inserting_before(node):
        pooled = graph.graph.call_function(ATEN.max_pool2d.default, (x, window, window))
    for user in list(node.users):  # getitem: values, positions
        if user.args[1] == 0:
            user.replace_all_uses_with(pooled)


def _transposed_convolution(graph: GraphModule, node: Node) -> None:
    """conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)."""
    arguments = [*node.args, *_DEFAULTS[len(node.args) :]]
    if arguments[6] != 1:
        _bake_weight(graph, node)
    stride, padding, extra, dilation = (_pair(arguments[index]) for index in (3, 4, 5, 7))
    kernel = fake(input_of(node, 1)).shape[-2:]
    whole = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    spare = [w - s for w, s in zip(whole, stride, strict=True)]
    if not any((*padding, *extra)) or stride == [1, 1]:
        return
    if not any(extra) and spare == [2 * pad for pad in padding]:
        return  # what TensorFlow calls SAME
    if any(e > pad for e, pad in zip(extra, padding, strict=True)):
        return
    sizes = fake(node).shape[-2:]
    arguments[4] = arguments[5] = [0, 0]
    with graph.graph.inserting_before(node):
        cropped = graph.graph.call_function(ATEN.conv_transpose2d.input, tuple(arguments))
        for axis, pad, size in zip((2, 3), padding, sizes, strict=True):
            bounds = (axis, pad, pad + int(size))
            cropped = graph.graph.call_function(ATEN.slice.Tensor, (cropped, *bounds))
    node.replace_all_uses_with(cropped)


# Of conv_transpose2d's arguments.
_DEFAULTS = [None, None, None, [1, 1], [0, 0], [0, 0], 1, [1, 1]]


def _pair(argument: object) -> list[int]:
    assert isinstance(argument, (list, tuple))
    return [int(argument[0]), int(argument[-1])]


def _bake_weight(graph: GraphModule, node: Node) -> None:
    """With groups it converts with a constant weight only, and so stays in float, with the values
    that the integers stand for.
    """
    dequantizer = input_of(node, 1)
    if not is_dequantizer(dequantizer):
        return
    quantizer = input_of(dequantizer)
    value: object = stored(graph, input_of(quantizer)).detach()
    for step in (quantizer, dequantizer):
        given = [stored(graph, x) if isinstance(x, Node) else x for x in step.args[1:]]
        assert callable(step.target)
        value = step.target(value, *given)
    assert isinstance(value, Tensor)
    baked = hold(graph, node, "_litert_weight", value)
    baked.meta["val"] = fake(dequantizer)
    node.replace_input_with(dequantizer, baked)


def _unbind(_: GraphModule, node: Node) -> None:
    """unbind(x, dim) as a selection for each part that is read."""
    dim = node.args[1] if len(node.args) > 1 else 0
    for part in list(node.users):
        selected = call_beside(part, ATEN.select.int, input_of(node), dim, part.args[1])
        part.replace_all_uses_with(selected)


_REWRITES = {
    **dict.fromkeys(SPREADING, spread),
    ATEN.pad.default: pad,
    ATEN.constant_pad_nd.default: pad,
    ATEN.unbind.int: _unbind,
    **dict.fromkeys(JOINED, reshape_after),
    **dict.fromkeys(CLIPPING, clip_before),
    **dict.fromkeys(RESIZING, resize_for_tflite),
    ATEN.conv_transpose2d.input: _transposed_convolution,
    ATEN.masked_fill.Scalar: _masked,
    ATEN.masked_fill.Tensor: _masked,
    ATEN.where.self: _masked,
    ATEN.where.ScalarOther: _masked,
    ATEN.where.ScalarSelf: _masked,
    ATEN.adaptive_max_pool2d.default: _adaptive_max_pool,
}
