"""What a graph computes from nothing but its parameters, computed once.

A weight that forward() computes (weight norm, spectral norm, any other parametrisation, weight
standardisation, a sum or concatenation of parameters, a transposed one) is a constant of the model
that ships. Only as one it can be stored as integers.
"""

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Interpreter, Node

from edgecompress.compress.fx import (
    ATEN,
    fake,
    hold,
    integers_in,
    stored,
)

_LARGEST = 1 << 26
"""Numbers in a constant; a larger one is left to be computed."""
_SAME_NUMBERS = {
    ATEN.to.dtype,
    ATEN.to.dtype_layout,
    ATEN.to.device,
    ATEN.to.other,
    ATEN.type_as.default,
    ATEN.detach.default,
    ATEN.alias.default,
    ATEN.lift_fresh_copy.default,
    ATEN.lift_fresh.default,
}
"""Give back what they are given, where the type is the same."""
_FILLING: dict[object, float | None] = {
    ATEN.new_full.default: None,
    ATEN.new_zeros.default: 0.0,
    ATEN.new_ones.default: 1.0,
}
"""With what a new tensor of the type of another is filled; None: with their third argument."""


def fold_constants(gm: GraphModule) -> None:
    """Replace what depends on parameters and buffers only by a parameter of its own, in place.

    It is trainable where one of those that it was computed from is: training with fake quantisation
    goes on from the folded weight, and no longer normalises it.
    """
    _drop_casts(gm)
    _ask_for_no_data(gm)
    constant = _constants(gm)
    values = _Values(gm, constant)
    values.run()
    for node in list(gm.graph.nodes):
        if node not in constant or node.op == "get_attr":
            continue
        value = values.found.get(node)
        read = [user for user in node.users if user not in constant]
        if read and isinstance(value, Tensor) and value.numel() <= _LARGEST:
            _store(gm, node, value, read, trainable=_is_trainable(gm, node))
    gm.graph.eliminate_dead_code()
    gm.delete_all_unused_submodules()
    gm.recompile()


def _drop_casts(gm: GraphModule) -> None:
    """A cast to the type that a tensor has already would keep what lies round it in float."""
    for node in list(gm.graph.nodes):
        if node.target not in _SAME_NUMBERS:
            continue
        source = node.args[0]
        before = source.meta.get("val") if isinstance(source, Node) else None
        after = node.meta.get("val")
        if isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype:
            node.replace_all_uses_with(source)
            gm.graph.erase_node(node)


def _ask_for_no_data(gm: GraphModule) -> None:
    """Operators that ask an activation for its type alone become others without it: the anchors
    that a detection head makes of `arange(w).type_as(x)` and `x.new_full(..)` are constants.
    """
    for node in list(gm.graph.nodes):
        if node.target is not ATEN.type_as.default and node.target not in _FILLING:
            continue
        dtype = fake(node).dtype
        with gm.graph.inserting_before(node):
            if node.target is ATEN.type_as.default:
                new = gm.graph.call_function(ATEN.to.dtype, (node.args[0], dtype))
            else:
                size = node.args[1]
                if not isinstance(size, (list, tuple)) or len(integers_in(size)) < len(size):
                    continue  # it has the size of a batch, which is not known
                value = _FILLING[node.target]
                filled = (size, node.args[2] if value is None else value)
                new = gm.graph.call_function(ATEN.full.default, filled, {"dtype": dtype})
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        gm.graph.erase_node(node)


def _constants(gm: GraphModule) -> set[Node]:
    """Nodes that have the same value in every run."""
    found: set[Node] = set()
    for node in gm.graph.nodes:
        if node.op == "get_attr":
            is_constant = isinstance(_attribute(gm, node), Tensor)
        elif node.op == "call_function":
            is_constant = _is_pure(node) and all(x in found for x in node.all_input_nodes)
        else:
            is_constant = False
        if is_constant:
            found.add(node)
    return found


def _is_pure(node: Node) -> bool:
    target = node.target
    if not isinstance(target, OpOverload):
        return getattr(target, "__name__", "") == "getitem"
    return target.namespace == "aten" and torch.Tag.nondeterministic_seeded not in target.tags


def _attribute(gm: GraphModule, node: Node) -> object:
    value: object = gm
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


class _Values(Interpreter):
    """Runs the constant part of a graph, and nothing else."""

    def __init__(self, gm: GraphModule, constant: set[Node]) -> None:
        super().__init__(gm, garbage_collect_values=False)
        self._constant = constant
        self._nodes = gm.graph.nodes
        self.found: dict[Node, object] = {}

    def run(self, *_: object, **__: object) -> None:
        with torch.no_grad():
            for node in self._nodes:
                if node in self._constant:
                    self.env[node] = self.found[node] = self.run_node(node)


def _is_trainable(gm: GraphModule, node: Node) -> bool:
    """Whether it was computed from a parameter that is trained."""
    seen, waiting = {node}, [node]
    while waiting:
        source = waiting.pop()
        if source.op == "get_attr" and stored(gm, source).requires_grad:
            return True
        fresh = [x for x in source.all_input_nodes if x not in seen]
        seen.update(fresh)
        waiting += fresh
    return False


def _store(gm: GraphModule, node: Node, value: Tensor, read: list[Node], trainable: bool) -> None:
    value = value.detach().clone(memory_format=torch.contiguous_format)
    if trainable and value.is_floating_point():
        value = nn.Parameter(value)
    holder = hold(gm, node, f"_folded_{node.name}", value)
    holder.meta = {key: node.meta[key] for key in ("val", "nn_module_stack") if key in node.meta}
    for user in read:
        user.replace_input_with(node, holder)
