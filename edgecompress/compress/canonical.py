"""The same function, in operators that int8 kernels exist for. Runs on a captured graph, before
annotation; values change by float rounding only.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import (
    ATEN,
    call_beside,
    fake,
    hold,
    input_of,
    integers_in,
    optional_input,
)

# operator with a Python number -> (operator on tensors, what becomes of the number)
_SCALAR: dict[object, tuple[OpOverload, Callable[[float], float]]] = {
    ATEN.add.Tensor: (ATEN.add.Tensor, lambda x: x),
    ATEN.sub.Tensor: (ATEN.add.Tensor, lambda x: -x),
    ATEN.mul.Tensor: (ATEN.mul.Tensor, lambda x: x),
    ATEN.div.Tensor: (ATEN.mul.Tensor, lambda x: 1.0 / x),
}


def canonicalise(gm: GraphModule) -> None:
    """SiLU becomes x * sigmoid(x); attention becomes matmul, softmax, matmul; a number that is
    added or multiplied becomes a constant tensor; what is spread over a shape, for an operator that
    would spread it itself, is not.
    """
    for node in list(gm.graph.nodes):
        rewrite = _REWRITES.get(node.target) or (_scalar if node.target in _SCALAR else None)
        if rewrite is None:
            continue
        new = rewrite(gm, node)
        if new is not None:
            node.replace_all_uses_with(new)
            gm.graph.erase_node(node)
    gm.recompile()


def _silu(_: GraphModule, node: Node) -> Node:
    x = node.args[0]
    return call_beside(node, ATEN.mul.Tensor, x, call_beside(node, ATEN.sigmoid.default, x))


def _scalar(gm: GraphModule, node: Node) -> Node | None:
    x, number = optional_input(node, 0), node.args[1]
    if x is None or not isinstance(number, (int, float)) or node.kwargs:
        return None
    if not fake(x).is_floating_point():
        return None
    op, change = _SCALAR[node.target]
    return call_beside(node, op, x, _constant(gm, node, float(change(number))))


def _attention(gm: GraphModule, node: Node) -> Node | None:
    """scaled_dot_product_attention(q, k, v, mask=None, dropout_p, is_causal, scale=)."""
    query, key, value = (input_of(node, index) for index in range(3))
    given = node.args[3:]
    mask = given[0] if given else node.kwargs.get("attn_mask")
    causal = bool(given[2] if len(given) > 2 else node.kwargs.get("is_causal", False))
    scale = node.kwargs.get("scale")
    if node.kwargs.get("enable_gqa"):
        return None
    if causal:
        mask = _causal_mask(gm, node, fake(query).shape[-2], fake(key).shape[-2])
    elif isinstance(mask, Node) and not fake(mask).is_floating_point():
        seen, unseen = _constant(gm, node, 0.0), _constant(gm, node, -math.inf)
        mask = call_beside(node, ATEN.where.self, mask, seen, unseen)
    factor = float(scale) if isinstance(scale, float) else fake(query).shape[-1] ** -0.5
    # Scaling the query instead of the scores keeps them in one matmul and one softmax.
    query = call_beside(node, ATEN.mul.Tensor, query, _constant(gm, node, factor))
    key = call_beside(node, ATEN.transpose.int, key, -2, -1)
    scores = call_beside(node, ATEN.matmul.default, query, key)
    if isinstance(mask, Node):
        scores = call_beside(node, ATEN.add.Tensor, scores, mask)
    weights = call_beside(node, ATEN.softmax.int, scores, -1)
    alone = _softmax(gm, weights)
    if alone is not None:
        weights.replace_all_uses_with(alone)
        node.graph.erase_node(weights)
        weights = alone
    return call_beside(node, ATEN.matmul.default, weights, value)


def _softmax(_: GraphModule, node: Node) -> Node | None:
    """softmax(x, dim) over a dimension of size 1 is 1, for which ONNX Runtime's int8 kernel writes
    0.
    """
    x, dim = input_of(node), node.args[1]
    assert isinstance(dim, int)
    shape = fake(x).shape
    # A batch of any size is no integer, and one of size 1 is not always that.
    if not shape or shape[dim] != 1 or dim % len(shape) == 0:
        return None
    return call_beside(node, ATEN.ones_like.default, x)


def _causal_mask(gm: GraphModule, node: Node, rows: int, columns: int) -> Node:
    return _constant(gm, node, torch.full((rows, columns), -math.inf).triu(1))


def _adaptive_pool(_: GraphModule, node: Node) -> Node | None:
    """To one position: the mean over all; to a divisor of them: the mean over equal windows."""
    x, wanted = input_of(node), node.args[1]
    assert isinstance(wanted, (list, tuple))
    sizes = fake(x).shape[-len(wanted) :]
    spatial = list(range(-len(wanted), 0))
    if all(size == 1 for size in wanted):
        return call_beside(node, ATEN.mean.dim, x, spatial, True)
    if len(wanted) != 2 or any(size % want for size, want in zip(sizes, wanted, strict=True)):
        return None
    window = [int(size) // int(want) for size, want in zip(sizes, wanted, strict=True)]
    return x if window == [1, 1] else call_beside(node, ATEN.avg_pool2d.default, x, window, window)


def _pool_of_rows(_: GraphModule, node: Node) -> Node:
    """avg_pool1d(x, size, stride, padding, ceil_mode, count_include_pad) as the pool of an image of
    one row: kernels are made for images.
    """
    size, stride, padding = (
        integers_in(node.args[index]) if len(node.args) > index else [] for index in (1, 2, 3)
    )
    image = call_beside(node, ATEN.unsqueeze.default, input_of(node), -2)
    windows = ([1, *size], [1, *(stride or size)], [0, *(padding or [0])])
    pooled = call_beside(node, ATEN.avg_pool2d.default, image, *windows, *node.args[4:])
    return call_beside(node, ATEN.squeeze.dim, pooled, -2)


def _adaptive_max_pool(_: GraphModule, node: Node) -> Node | None:
    """The values of (values, positions), which are those of an ordinary pool over equal windows."""
    x, wanted = input_of(node), node.args[1]
    assert isinstance(wanted, (list, tuple))
    sizes = fake(x).shape[-2:]
    parts = list(node.users)
    uses_positions = any(part.args[1] != 0 and part.users for part in parts)
    if uses_positions or any(size % want for size, want in zip(sizes, wanted, strict=True)):
        return None
    window = [int(size) // int(want) for size, want in zip(sizes, wanted, strict=True)]
    pooled = call_beside(node, ATEN.max_pool2d.default, x, window, window)
    for part in parts:
        part.replace_all_uses_with(pooled)
        node.graph.erase_node(part)
    return pooled


def _spread(_: GraphModule, node: Node) -> Node | None:
    """expand(x, sizes), where all that read it come to the same shape without."""
    x = input_of(node)
    same = node.users and all(_spreads(user, node, fake(x).shape) for user in node.users)
    return x if same else None


def _spreads(user: Node, node: Node, shape: torch.Size) -> bool:
    """Whether an elementwise operator has the same shape with `shape` in the place of `node`'s."""
    if user.target not in _BROADCASTING or len(shape) != fake(node).dim():
        return False
    others = [other for other in user.all_input_nodes if other is not node]
    if len(others) != 1 or fake(others[0]).dim() < len(shape):
        return False
    pairs = zip(
        shape, fake(others[0]).shape[-len(shape) :], fake(user).shape[-len(shape) :], strict=True
    )
    return all(after in (mine, other) for mine, other, after in pairs)


_BROADCASTING = {
    ATEN.add.Tensor,
    ATEN.sub.Tensor,
    ATEN.mul.Tensor,
    ATEN.div.Tensor,
    ATEN.maximum.default,
    ATEN.minimum.default,
}


def _over_ones(_: GraphModule, node: Node) -> Node | None:
    """reduce(x, dim, keepdim) over dimensions of size 1 reduces nothing, and then no scale changes
    either.
    """
    x, given = input_of(node), node.args[1] if len(node.args) > 1 else None
    dims = integers_in(given)
    shape = fake(x).shape
    # A batch of any size is no integer, and one of size 1 is not always that.
    if not dims or node.kwargs or any(shape[dim] != 1 or dim % len(shape) == 0 for dim in dims):
        return None
    keeps = len(node.args) > 2 and bool(node.args[2])
    return x if keeps else call_beside(node, ATEN.squeeze.dims, x, dims)


def _constant(gm: GraphModule, node: Node, content: float | Tensor) -> Node:
    value = torch.as_tensor(content)
    constant = hold(gm, node, f"_{node.name}_constant_{len(gm._buffers)}", value)
    constant.meta["val"] = fake(node).new_empty(value.shape)
    return constant


_REWRITES: dict[object, Callable[[GraphModule, Node], Node | None]] = {
    ATEN.silu.default: _silu,
    ATEN.scaled_dot_product_attention.default: _attention,
    ATEN.softmax.int: _softmax,
    ATEN.expand.default: _spread,
    ATEN.expand_as.default: _spread,
    ATEN.broadcast_to.default: _spread,
    ATEN.avg_pool1d.default: _pool_of_rows,
    ATEN.adaptive_avg_pool1d.default: _adaptive_pool,
    ATEN.adaptive_avg_pool2d.default: _adaptive_pool,
    ATEN.adaptive_avg_pool3d.default: _adaptive_pool,
    ATEN.adaptive_max_pool2d.default: _adaptive_max_pool,
    **dict.fromkeys(
        (
            ATEN.mean.dim,
            ATEN.sum.dim_IntList,
            ATEN.amax.default,
            ATEN.amin.default,
            ATEN.prod.dim_int,
        ),
        _over_ones,
    ),
}
