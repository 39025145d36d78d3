"""The same function, in operators that int8 kernels exist for. Runs on a captured graph, before
annotation; values change by float rounding only.
"""

import math
from collections.abc import Callable

import torch
from torch.fx import GraphModule, Node

from edgecompress.compress.capture import ATEN

_SCALAR = {  # operator with a Python number -> (operator on tensors, what becomes of the number)
    ATEN.add.Tensor: (ATEN.add.Tensor, lambda x: x),
    ATEN.add_.Tensor: (ATEN.add.Tensor, lambda x: x),
    ATEN.sub.Tensor: (ATEN.add.Tensor, lambda x: -x),
    ATEN.mul.Tensor: (ATEN.mul.Tensor, lambda x: x),
    ATEN.mul_.Tensor: (ATEN.mul.Tensor, lambda x: x),
    ATEN.div.Tensor: (ATEN.mul.Tensor, lambda x: 1.0 / x),
}


def canonicalise(gm: GraphModule) -> None:
    """SiLU becomes x * sigmoid(x); attention becomes matmul, softmax, matmul; a number that is
    added or multiplied becomes a constant tensor.
    """
    for node in list(gm.graph.nodes):
        rewrite = _REWRITES.get(node.target) or (_scalar if node.target in _SCALAR else None)
        if rewrite is None:
            continue
        with gm.graph.inserting_before(node):
            new = rewrite(gm, node)
        if new is not None:
            node.replace_all_uses_with(new)
            gm.graph.erase_node(node)
    gm.recompile()


def _call(node: Node, op: object, *args: object) -> Node:
    """A new call beside `node`, with its place in the user's model and its type worked out."""
    new = node.graph.call_function(op, args)  # type: ignore[arg-type]
    new.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
    values = torch.fx.node.map_arg(args, lambda n: n.meta["val"])
    new.meta["val"] = op(*values)  # type: ignore[operator]
    return new


def _silu(gm: GraphModule, node: Node) -> Node:
    x = node.args[0]
    return _call(node, ATEN.mul.Tensor, x, _call(node, ATEN.sigmoid.default, x))


def _scalar(gm: GraphModule, node: Node) -> Node | None:
    x, number = node.args[:2]
    if not isinstance(x, Node) or not isinstance(number, (int, float)) or node.kwargs:
        return None
    if not x.meta["val"].is_floating_point():
        return None
    op, change = _SCALAR[node.target]
    return _call(node, op, x, _constant(gm, node, float(change(number))))


def _attention(gm: GraphModule, node: Node) -> Node | None:
    """scaled_dot_product_attention(q, k, v, mask=None, dropout_p, is_causal, scale=)."""
    query, key, value, *rest = node.args
    mask = rest[0] if rest else node.kwargs.get("attn_mask")
    causal = rest[2] if len(rest) > 2 else node.kwargs.get("is_causal", False)
    if (
        causal
        or node.kwargs.get("enable_gqa")
        or (isinstance(mask, Node) and not mask.meta["val"].is_floating_point())
    ):
        return None  # stays one float operator
    scale = node.kwargs.get("scale") or 1.0 / math.sqrt(query.meta["val"].shape[-1])
    # Scaling the query instead of the scores keeps them in one matmul and one softmax.
    query = _call(node, ATEN.mul.Tensor, query, _constant(gm, node, float(scale)))
    key = _call(node, ATEN.transpose.int, key, -2, -1)
    scores = _call(node, ATEN.matmul.default, query, key)
    if mask is not None:
        scores = _call(node, ATEN.add.Tensor, scores, mask)
    weights = _call(node, ATEN.softmax.int, scores, -1)
    return _call(node, ATEN.matmul.default, weights, value)


def _constant(gm: GraphModule, node: Node, number: float) -> Node:
    name = f"_{node.name}_constant"
    value = torch.tensor(number)
    gm.register_buffer(name, value)
    constant = node.graph.get_attr(name)
    fake = node.meta["val"]
    constant.meta["val"] = fake.new_full((), number)
    return constant


_REWRITES: dict[object, Callable[[GraphModule, Node], Node | None]] = {
    ATEN.silu.default: _silu,
    ATEN.silu_.default: _silu,
    ATEN.scaled_dot_product_attention.default: _attention,
}
