"""Which channels go together, found by following them through the traced graph by its operators.

The dependency graph of groups.py works by modules and guesses at what functions do. Here functions
are followed too: padding of channels, reshapes to heads, products of attention. What comes out is
still a claim, which verify.py checks by cutting, and what no rule knows keeps its channels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgecompress.compress.fx import ATEN, input_of, integers_in, module_path, nodes_in
from edgecompress.compress.groups import CONV, Cuts, Slot, is_depthwise
from edgecompress.compress.importance import BATCH_NORM
from edgecompress.compress.labels import INPUT, Ids
from edgecompress.compress.operators import (
    CONCATENATING,
    MATMULS,
    MOVING,
    PADDING,
    WEIGHTED,
)
from edgecompress.compress.rewrite import PaddedShortcut

Labels = Any
"""A float64 tensor in the shape of the value, a list of those, or None for what has none."""

_JOINING = {
    *(ATEN.add.Tensor, ATEN.sub.Tensor, ATEN.mul.Tensor, ATEN.div.Tensor),
    *(ATEN.maximum.default, ATEN.minimum.default),
}
_POOLING = {
    *(ATEN.max_pool1d.default, ATEN.max_pool2d.default, ATEN.adaptive_max_pool2d.default),
    *(ATEN.avg_pool1d.default, ATEN.avg_pool2d.default),
    *(ATEN.adaptive_avg_pool1d.default, ATEN.adaptive_avg_pool2d.default),
    *(ATEN.upsample_nearest1d.vec, ATEN.upsample_nearest2d.vec, ATEN.upsample_bilinear2d.vec),
}
_REDUCING = {ATEN.mean.dim, ATEN.sum.dim_IntList, ATEN.amax.default, ATEN.amin.default}
_NORMALISING = {ATEN.layer_norm.default, ATEN.group_norm.default, ATEN.instance_norm.default}
_SOFTMAX = {ATEN.softmax.int, ATEN._softmax.default, ATEN.log_softmax.int}
_ATTENTION = ATEN.scaled_dot_product_attention.default


def follow(
    model: nn.Module, graph: GraphModule, example_inputs: tuple[Tensor, ...]
) -> tuple[list[Cuts], dict[str, str]]:
    """The smallest sets of channels that may be able to go, and why other layers keep theirs.

    Args:
        model: in eval mode; its modules give the layers their names.
        graph: what it was traced to.
        example_inputs: what it is run on.

    """
    follower = _Follower(model, graph)
    with torch.no_grad():
        follower.run(*example_inputs)
    return follower.ids.units()


class _Follower(Interpreter):
    """Runs the graph, and notes for every tensor which channel each of its numbers belongs to."""

    def __init__(self, model: nn.Module, graph: GraphModule) -> None:
        super().__init__(graph)
        self.ids = Ids()
        self._modules = dict(model.named_modules())
        self._parameters = dict(model.named_parameters())
        self._labels: dict[Node, Labels] = {}
        self._rules: list[tuple[set[Any], Callable[[Node, Any], Labels]]] = [
            (set(WEIGHTED), self._layer),
            ({ATEN.batch_norm.default, ATEN.prelu.default}, self._channelwise_layer),
            (_JOINING, self._joined),
            (_POOLING, self._pooled),
            (_REDUCING, self._reduced),
            (PADDING, self._padded),
            (set(CONCATENATING), self._concatenated),
            (MOVING - PADDING, self._moved),
            (set(MATMULS), self._product),
            ({_ATTENTION}, self._attention),
            (_SOFTMAX, self._softmax),
            (_NORMALISING, self._held),
        ]

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op == "placeholder":
            is_tensor = isinstance(value, Tensor)
            self._labels[n] = torch.full(value.shape, INPUT).double() if is_tensor else None
        elif n.op == "output":
            outputs = [self._labels.get(x) for x in n.all_input_nodes]
            self._stick(outputs, "no layer reads its channels: they are an output")
        elif n.op == "call_function" and isinstance(value, (Tensor, list, tuple)):
            self._labels[n] = self._of_call(n, value)
        return value

    def _of_call(self, n: Node, value: Any) -> Labels:
        if not self._known(n):
            return None
        if "getitem" in str(n.target):
            return self._labels[input_of(n)][n.args[1]]
        for operators, rule in self._rules:
            if n.target in operators:
                try:
                    return rule(n, value)
                except Exception:
                    # It met what it was not written for, as a parameter that is expanded to the
                    # shape of a tensor.
                    return self._held(n, value)
        known = self._known(n)
        if len(known) == 1 and isinstance(value, Tensor) and known[0].shape == value.shape:
            return known[0]  # number by number, it seems
        return self._held(n, value)

    def _known(self, n: Node) -> list[Tensor]:
        return [x for x in map(self._labels.get, n.all_input_nodes) if isinstance(x, Tensor)] or [
            part
            for x in map(self._labels.get, n.all_input_nodes)
            if isinstance(x, list)
            for part in x
        ]

    def _stick(self, labels: list[Labels], why: str) -> None:
        self.ids.stick([x for x in labels if isinstance(x, Tensor)], why)

    def _held(self, n: Node, value: Any) -> Labels:
        """What nothing is known of."""
        kind = str(n.target).removeprefix("aten.").partition(".")[0]
        self._stick(list(self._known(n)), f"{kind} in '{module_path(n)}' is not followed")
        return torch.full(value.shape, INPUT).double() if isinstance(value, Tensor) else None

    def _module_of(self, n: Node) -> tuple[str, nn.Module | None]:
        """The layer whose weight this operator reads."""
        weight = n.args[1]
        name = str(weight.target) if isinstance(weight, Node) else ""
        path, _, attribute = name.rpartition(".")
        return path, self._modules.get(path) if attribute == "weight" else None

    def _layer(self, n: Node, value: Any) -> Labels:
        name, layer = self._module_of(n)
        if not isinstance(layer, (CONV, nn.Linear)) or (
            isinstance(layer, CONV) and layer.groups > 1 and not is_depthwise(layer)
        ):
            return self._held(n, value)
        axis = -1 if isinstance(layer, nn.Linear) else 1
        read = self.ids.each(self._labels[input_of(n)], axis)
        made = self.ids.fresh(Slot(name, "out"), value.shape[axis])
        if is_depthwise(layer):
            self.ids.join(read, made)
        else:
            self.ids.touch(Slot(name, "in"), read)
        return _along(made, axis, value)

    def _channelwise_layer(self, n: Node, value: Any) -> Labels:
        labels: Tensor = self._labels[input_of(n)]
        name = module_path(n)
        layer = self._modules.get(name)
        if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
            return labels
        if not isinstance(layer, (BATCH_NORM, nn.PReLU)):
            return self._held(n, value)
        self.ids.touch(Slot(name, "out"), self.ids.each(labels, 1))
        return labels

    def _joined(self, n: Node, value: Any) -> Labels:
        terms = [self._operand(n, x) for x in n.all_input_nodes]
        labels = [x for x in terms if isinstance(x, Tensor)]
        if len(labels) < 2:
            return labels[0].expand(value.shape)
        one, other = labels
        return self._together(one, other, value.shape)

    def _operand(self, n: Node, x: Node) -> Labels:
        """Labels of a term; a bare parameter gets its own where another term's channels are."""
        if x.op != "get_attr" or str(x.target) not in self._parameters:
            return self._labels.get(x)
        if x not in self._labels:
            parameter = self._parameters[str(x.target)]
            other = next((y for y in self._known(n) if y is not self._labels.get(x)), None)
            self._labels[x] = self._of_parameter(str(x.target), parameter, other)
        return self._labels[x]

    def _of_parameter(self, name: str, parameter: Tensor, other: Tensor | None) -> Labels:
        if other is None:
            return None
        for axis in range(-1, -parameter.dim() - 1, -1):
            if parameter.shape[axis] > 1 and self.ids.varies(other, axis):
                made = self.ids.fresh(
                    Slot(name, "parameter", axis % parameter.dim()), parameter.shape[axis]
                )
                return _along(made, axis, parameter)
        return None

    def _together(self, one: Tensor, other: Tensor, shape: Any) -> Tensor:
        """Labels of what is computed of two numbers each, one of either."""
        dims = len(shape)
        one, other = (x.reshape([1] * (dims - x.dim()) + list(x.shape)) for x in (one, other))
        vary = [[self.ids.varies(x, axis) for axis in range(dims)] for x in (one, other)]
        tied = any(
            (vary[0][axis] and other.shape[axis] > 1) or (vary[1][axis] and one.shape[axis] > 1)
            for axis in range(dims)
        )
        full = [x.expand(shape) for x in (one, other)]
        if tied:
            self.ids.join(*full)
            return torch.where(full[0] != 0, full[0], full[1])
        if any(vary[0]) and any(vary[1]):
            self.ids.stick(full, "a function multiplies all its channels with all of another layer")
        return full[1] if any(vary[1]) else full[0]

    def _pooled(self, n: Node, value: Any) -> Labels:
        if not isinstance(value, Tensor):
            return self._held(n, value)
        return _along(self.ids.each(self._labels[input_of(n)], 1), 1, value)

    def _reduced(self, n: Node, value: Any) -> Labels:
        labels: Tensor = self._labels[input_of(n)]
        axes = integers_in(n.args[1]) if len(n.args) > 1 else []
        axes = [axis % labels.dim() for axis in axes or range(labels.dim())]
        if any(self.ids.varies(labels, axis) for axis in axes):
            return self._held(n, value)
        first = labels
        for axis in axes:
            first = first.narrow(axis, 0, 1)
        return first.reshape(value.shape)

    def _padded(self, n: Node, value: Any) -> Labels:
        labels: Tensor = self._labels[input_of(n)]
        widths = integers_in(n.args[1])
        for pair in range(len(widths) // 2):
            axis, (before, after) = labels.dim() - 1 - pair, widths[2 * pair : 2 * pair + 2]
            size = labels.shape[axis]
            places = torch.arange(-before, size + after)
            varies = (before > 0 or after > 0) and self.ids.varies(labels, axis)
            labels = labels.index_select(axis, places.clamp(0, size - 1))
            if varies:
                made = self._zeros_of(n, before, size, after)
                shaped = _along(made, axis, labels)
                labels = torch.where(shaped != 0, shaped, labels)
        return labels

    def _zeros_of(self, n: Node, before: int, size: int, after: int) -> Tensor:
        """Ids of channels of zeros before and after others: [before + size + after]."""
        name = module_path(n)
        counted = isinstance(self._modules.get(name), PaddedShortcut)
        low, high = (
            self.ids.fresh(Slot(f"{name}.{side}", "attribute") if counted else None, max(count, 0))
            for side, count in (("before", before), ("after", after))
        )
        middle = torch.zeros(size + min(before, 0) + min(after, 0)).double()
        return torch.cat([low, middle, high])

    def _concatenated(self, n: Node, value: Any) -> Labels:
        parts = []
        for node in nodes_in(n.args[0]):
            known = self._labels.get(node)
            parts.append(torch.zeros(self.env[node].shape).double() if known is None else known)
        assert callable(n.target), "it calls a function"
        return n.target(parts, *n.args[1:], **n.kwargs)

    def _moved(self, n: Node, value: Any) -> Labels:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        assert callable(n.target), "it calls a function"
        moved = n.target(self._labels[input_of(n)], *args[1:], **kwargs)
        return list(moved) if isinstance(moved, (list, tuple)) else moved

    def _product(self, n: Node, value: Any) -> Labels:
        one, other = (self._labels.get(x) for x in (input_of(n, 0), input_of(n, 1)))
        if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.dim() < 2:
            return self._held(n, value)
        return self._multiplied(one, other, value.shape)

    def _multiplied(self, one: Tensor, other: Tensor, shape: Any) -> Tensor:
        """Labels of a product of matrices, [.., I, K] x [.., K, J]."""
        if not (self.ids.varies(one, -1) or self.ids.varies(other, -2)):
            return self._together(one.narrow(-1, 0, 1), other.narrow(-2, 0, 1), shape)
        # It adds up over channels: of each matrix of a batch, all must go or none.
        batch = shape[:-2]
        one = one.expand(*batch, *one.shape[-2:]).flatten(-2)
        other = other.expand(*batch, *other.shape[-2:]).flatten(-2)
        rows = torch.cat([one, other], -1).reshape(-1, one.shape[-1] + other.shape[-1])
        return self.ids.each(rows, 0).view(*batch, 1, 1).expand(shape)

    def _attention(self, n: Node, value: Any) -> Labels:
        known = [self._labels.get(input_of(n, i)) for i in range(3)]
        query, key, values = (x if isinstance(x, Tensor) else None for x in known)
        if query is None or key is None or values is None or query.shape[:-2] != key.shape[:-2]:
            return self._held(n, value)  # the last: several heads of queries share one of keys
        scores = (*query.shape[:-1], key.shape[-2])
        weights = self._multiplied(query, key.transpose(-2, -1), scores)
        return self._multiplied(weights, values, value.shape)

    def _softmax(self, n: Node, value: Any) -> Labels:
        labels: Tensor = self._labels[input_of(n)]
        (axis,) = integers_in(n.args[1])
        return self._held(n, value) if self.ids.varies(labels, axis) else labels


def _along(ids: Tensor, axis: int, like: Tensor) -> Tensor:
    """`ids` [size] along one axis of a tensor of this shape."""
    sizes = [1] * like.dim()
    sizes[axis] = len(ids)
    return ids.view(sizes).expand(like.shape)
