"""Operators between DQ and Q, in forms that XNNPACK takes in int8; they compute the same."""

from collections.abc import Callable

from torch.fx import GraphModule, Node
from torch.fx.node import Argument, Target

from edgecompress.compress.graphs import (
    ATEN,
    CONCATENATING,
    averaged_window,
    fake,
    input_of,
    is_dequantizer,
    is_quantizer,
    nodes_in,
    only_user,
)

SIGNAL_DIMENSIONS = 3


def rewrite(graph: GraphModule) -> None:
    """All of them, in place."""
    for node in list(graph.graph.nodes):
        rule = _RULES.get(node.target)
        if rule is not None:
            rule(graph, node)


def _keep_dimensions(graph: GraphModule, node: Node) -> None:
    """A mean over a whole image, which XNNPACK has for [N, C, 1, 1] only, and reshaped after it."""
    x, window = input_of(node), averaged_window(node)
    quantizer = only_user(node)
    if window is None or quantizer is None or not is_quantizer(quantizer):
        return
    if window.size != list(fake(x).shape[2:]) or any(window.padding) or not is_dequantizer(x):
        return
    shape = [int(size) for size in fake(node).shape]
    with graph.graph.inserting_before(node):
        mean = _call(graph, node, ATEN.mean.dim, x, [2, 3], True)
        # Between Q and DQ of its own, because only an operator that Q alone reads is int8.
        there = _call(graph, node, quantizer.target, mean, *quantizer.args[1:])
        back = _call(graph, node, x.target, there, *quantizer.args[1:])
        node.replace_all_uses_with(_call(graph, node, ATEN.view.default, back, shape))


def _join_in_one_scale(graph: GraphModule, node: Node) -> None:
    """A concatenation, of which XNNPACK's kernel copies bytes: members of other scales than the
    result's are quantised again before it.
    """
    quantizer = only_user(node)
    if quantizer is None or not is_quantizer(quantizer):
        return
    for member in nodes_in(node.args[0]):
        if is_dequantizer(member) and member.args[1:] != quantizer.args[1:]:
            with graph.graph.inserting_before(node):
                there = _call(graph, node, quantizer.target, member, *quantizer.args[1:])
                back = _call(graph, node, member.target, there, *quantizer.args[1:])
            node.replace_input_with(member, back)


def _as_image(graph: GraphModule, node: Node) -> None:
    """A PReLU of signals [N, C, L], which XNNPACK has for images only, as one of [N, C, 1, L]."""
    shape = [int(size) for size in fake(node).shape]
    if len(shape) != SIGNAL_DIMENSIONS:
        return
    with graph.graph.inserting_before(node):
        image = _call(graph, node, ATEN.view.default, input_of(node), [*shape[:2], 1, shape[2]])
        result = _call(graph, node, ATEN.prelu.default, image, node.args[1])
        node.replace_all_uses_with(_call(graph, node, ATEN.view.default, result, shape))


def _call(graph: GraphModule, beside: Node, target: Target, *args: Argument) -> Node:
    """A new call, with the place of `beside` in the user's model."""
    assert callable(target)
    new = graph.graph.call_function(target, args)
    new.meta["nn_module_stack"] = beside.meta.get("nn_module_stack")
    return new


_RULES: dict[object, Callable[[GraphModule, Node], None]] = {
    ATEN.mean.dim: _keep_dimensions,
    ATEN.avg_pool2d.default: _keep_dimensions,
    ATEN.prelu.default: _as_image,
    **dict.fromkeys(CONCATENATING, _join_in_one_scale),
}
