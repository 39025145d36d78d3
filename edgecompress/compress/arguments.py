"""Rarely used arguments of operators, spelled out as operators of their own: what reads the graph
later (rules, converters) looks at the usual ones only.
"""

from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import Argument, map_arg

from edgecompress.compress.fx import ATEN, fake

# Each is `x + alpha * y` or `x - alpha * y`.
_SUMS: dict[object, OpOverload] = {
    ATEN.add.Tensor: ATEN.add.Tensor,
    ATEN.add_.Tensor: ATEN.add.Tensor,
    ATEN.sub.Tensor: ATEN.sub.Tensor,
    ATEN.sub_.Tensor: ATEN.sub.Tensor,
}


def spell_out(gm: GraphModule) -> None:
    """`torch.add(x, y, alpha=2)` becomes `x + 2 * y`, and sub likewise, in place."""
    for node in list(gm.graph.nodes):
        alpha = node.kwargs.get("alpha", 1)
        if node.target not in _SUMS or alpha == 1:
            continue
        x, y = node.args[:2]
        with gm.graph.inserting_before(node):
            if isinstance(y, Node):
                scaled: Argument = _call(node, ATEN.mul.Tensor, y, alpha)
            else:
                assert isinstance(y, (int, float))
                assert isinstance(alpha, (int, float))
                scaled = y * alpha
            new = _call(node, _SUMS[node.target], x, scaled)
        node.replace_all_uses_with(new)
        gm.graph.erase_node(node)
    gm.recompile()


def _call(node: Node, op: OpOverload, *args: Argument) -> Node:
    new = node.graph.call_function(op, args)
    new.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
    new.meta["val"] = op(*map_arg(args, fake))
    return new
