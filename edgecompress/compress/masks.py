"""Which sums a mask enters: a term that a softmax makes vanish.

A mask is added to scores, or replaces some of them, so that a softmax gives them no weight. In one
tensor with it scores have no steps left, whether it says -inf, -10000 or -50: a softmax reads its
input in units of one, and the mask alone is wider than 256 useful steps of that. So from where it
enters to the softmax everything is computed in float. A bias (of relative positions, or one that
falls with the distance) is a term of the same kind but narrow, and stays in eight bits.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edgecompress.compress.fx import ATEN, is_float, nodes_in, optional_input, stored
from edgecompress.compress.operators import (
    ADDING,
    CLIPPING,
    CONCATENATING,
    MATMULS,
    MULTIPLYING,
    SHARING,
    WEIGHTED,
)

_WIDEST = 32.0
"""The widest that a term of a softmax's input may be: 256 steps of 1 / 8, which
change a weight by 6 %. What is further below weighs e^-32."""
_SATURATING = {
    ATEN.softmax.int,
    ATEN._softmax.default,
    ATEN.log_softmax.int,
    ATEN.sigmoid.default,
}
_SUMS = {*ADDING, ATEN.sub.Tensor, ATEN.rsub.Scalar, ATEN.rsub.Tensor}
_PRODUCT_SUMS = {ATEN.baddbmm.default, ATEN.addmm.default, ATEN.addbmm.default}
_REPLACING: dict[object, tuple[int, ...]] = {
    ATEN.masked_fill.Scalar: (2,),
    ATEN.masked_fill.Tensor: (2,),
    ATEN.where.self: (1, 2),
    ATEN.where.ScalarOther: (1, 2),
    ATEN.where.ScalarSelf: (1, 2),
    ATEN.where.Scalar: (1, 2),
    ATEN.maximum.default: (0, 1),
    ATEN.minimum.default: (0, 1),
    ATEN.max.other: (0, 1),
    ATEN.min.other: (0, 1),
}
"""Operator -> which arguments may replace the others."""
_MOVING = {*(SHARING - CLIPPING), *CONCATENATING, ATEN.to.dtype, ATEN._to_copy.default}
_CLAMPING = {
    ATEN.clamp.default,
    ATEN.clamp_min.default,
    ATEN.clamp_max.default,
}
_SCALING = {*MULTIPLYING, ATEN.div.Tensor}
_COMPUTING = {*_SUMS, *_SCALING, *_REPLACING}
_LEARNT = {
    *WEIGHTED,
    *MATMULS,
    *_PRODUCT_SUMS,
    ATEN.einsum.default,
    ATEN.embedding.default,
}
_FILLED: dict[object, float | None] = {
    ATEN.full_like.default: None,
    ATEN.new_full.default: None,
    ATEN.zeros_like.default: 0.0,
    ATEN.new_zeros.default: 0.0,
    ATEN.ones_like.default: 1.0,
    ATEN.new_ones.default: 1.0,
}
"""Operator -> the number that it writes everywhere; None: its last argument."""


def masked(model: GraphModule) -> set[Node]:
    """What a mask has entered, with the softmax behind it, and what the mask is computed by."""
    trace = _Trace(model)
    for node in model.graph.nodes:
        x = optional_input(node, 0)
        if node.target in _SATURATING and x is not None and trace.carries_mask(x):
            trace.found.add(node)
    return trace.found


class _Trace:
    """Looks backwards from a softmax for where masks enter."""

    def __init__(self, model: GraphModule) -> None:
        self.found: set[Node] = set()
        self._model = model
        self._carries: dict[Node, bool] = {}
        self._values: dict[Node, Tensor | None] = {}
        self._learnt: dict[Node, bool] = {}
        self._feeds: dict[Node, bool] = {}

    def carries_mask(self, node: Node) -> bool:
        """Whether a mask is among what `node`, scores before a softmax, is a sum of."""
        if node not in self._carries:
            self._carries[node] = False
            self._carries[node] = self._looks(node)
            if self._carries[node]:
                self.found.add(node)
        return self._carries[node]

    def _looks(self, node: Node) -> bool:
        if node.target in _MOVING:
            sources = nodes_in(node.args[0]) if node.target in CONCATENATING else node.args[:1]
            return self._any(x for x in sources if isinstance(x, Node))
        if node.target in _SCALING or node.target in _CLAMPING:
            # A product of two tensors is no sum; of one that a mask was added to before, it is.
            return self._any(self._varying(node))
        if node.target in _SUMS or node.target in _REPLACING or node.target in _PRODUCT_SUMS:
            return self._enters(node)
        return False

    def _enters(self, node: Node) -> bool:
        indices = _REPLACING.get(node.target, (0, 1))
        terms = [node.args[0]] if node.target in _PRODUCT_SUMS else [node.args[i] for i in indices]
        scored = node.target in _PRODUCT_SUMS or len(indices) == 1
        scores = [x for x in node.all_input_nodes if self._is_learnt(x)]
        masks = [x for x in terms if self._vanishes(x)] if scores or scored else []
        for mask in masks:
            if isinstance(mask, Node):
                self._add_all(mask)
        inside = self._any(x for x in scores if is_float(x))
        return bool(masks) or inside

    def _any(self, nodes: Iterable[Node]) -> bool:
        """All of them are asked: each that carries a mask is found."""
        return max([self.carries_mask(x) for x in nodes], default=False)

    def _vanishes(self, term: object) -> bool:
        """A number or constant that is wider than any scores that are worth quantising; or what is
        computed from the model's inputs alone, as only masks are.
        """
        if isinstance(term, (int, float)):
            return not abs(term) <= _WIDEST
        if not isinstance(term, Node):
            return False
        value = self._value(term)
        if value is not None:
            value = torch.cat([value.detach().float().reshape(-1), torch.zeros(1)])
            return not bool(value.max() - value.min() <= _WIDEST)
        return not self._is_learnt(term) and (self._is_wide(term) or not self._is_data(term))

    def _is_wide(self, node: Node) -> bool:
        """Whether a number that no scores have is among what it is computed by."""
        numbers = node.args if node.target in _COMPUTING else ()
        if any(isinstance(x, (int, float)) and not abs(x) <= _WIDEST for x in numbers):
            return True
        value = self._value(node)
        if value is not None:
            return value.numel() > 0 and not bool(value.detach().abs().max() <= _WIDEST)
        return is_float(node) and any(self._is_wide(x) for x in node.all_input_nodes)

    def _is_data(self, node: Node) -> bool:
        """Whether it is computed from an input, not from a comparison, that layers read too."""
        if not is_float(node):
            return False
        if node.op == "placeholder":
            return self._feeds_layer(node)
        if node.target in _FILLED:
            return False
        return any(self._is_data(x) for x in node.all_input_nodes)

    def _feeds_layer(self, node: Node) -> bool:
        """Whether a layer reads it, other than by way of scores or of a product with other data."""
        if node not in self._feeds:
            self._feeds[node] = False
            self._feeds[node] = any(self._reads(user, node) for user in node.users)
        return self._feeds[node]

    def _reads(self, user: Node, node: Node) -> bool:
        if user.target in _PRODUCT_SUMS and user.args[0] is node:
            return False  # added to scores
        if user.target in _LEARNT:
            return True
        gates = user.target in MULTIPLYING and len(self._varying(user)) > 1
        return not gates and not self._is_learnt(user) and self._feeds_layer(user)

    def _varying(self, node: Node) -> list[Node]:
        return [x for x in node.all_input_nodes if is_float(x) and self._value(x) is None]

    def _value(self, node: Node) -> Tensor | None:
        """What a constant holds, whatever its shape; None for all else."""
        if node not in self._values:
            self._values[node] = self._computed(node)
        return self._values[node]

    def _computed(self, node: Node) -> Tensor | None:
        if node.op == "get_attr":
            return stored(self._model, node)
        if node.op != "call_function":
            return None
        if node.target in _FILLED:
            number = _FILLED[node.target]
            content = node.args[-1] if number is None else number
            return torch.tensor(float(content)) if isinstance(content, (int, float)) else None
        if node.target in _MOVING and node.target not in CONCATENATING:
            return self._value(node.all_input_nodes[0])  # sizes may follow the batch
        values = {x: self._value(x) for x in node.all_input_nodes}
        if any(value is None for value in values.values()) or not callable(node.target):
            return None
        arguments = map_arg((node.args, dict(node.kwargs)), lambda x: values[x])
        try:
            result = node.target(*arguments[0], **arguments[1])
        except (RuntimeError, TypeError, ValueError):
            return None  # shapes that follow the batch: then its numbers are not known here
        return result if isinstance(result, Tensor) else None

    def _is_learnt(self, node: Node) -> bool:
        """Whether a layer, a product of tensors, or an embedding is among its origins."""
        if node not in self._learnt:
            self._learnt[node] = False
            # What was compared is no longer a score, and a size or a copy's shape never was one.
            follows = is_float(node) and node.target not in _FILLED
            self._learnt[node] = node.target in _LEARNT or (
                follows and any(self._is_learnt(x) for x in node.all_input_nodes)
            )
        return self._learnt[node]

    def _add_all(self, node: Node) -> None:
        if node in self.found or node.op == "placeholder":
            return
        self.found.add(node)
        for source in node.all_input_nodes:
            self._add_all(source)
