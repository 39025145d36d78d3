"""Sums with zeros, left out of a graph: what a residual branch leaves behind that is gone."""

from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, fake
from edgecompress.compress.operators import ADDING, MOVING, MULTIPLYING, PADDING

_ZEROS = {ATEN.zeros.default, ATEN.zeros_like.default, ATEN.new_zeros.default}
_ACTIVATING = {ATEN.relu.default, ATEN.relu6.default, ATEN.gelu.default, ATEN.silu.default}
_KEEPING = {*MOVING - PADDING, *_ACTIVATING}
"""Operators that make zeros of zeros."""


def leave_out_zeros(gm: GraphModule) -> None:
    """Replace x + zeros by x, in place, where that has the same shape and type; the caller compiles
    the graph.
    """
    zeros: set[Node] = set()
    for node in list(gm.graph.nodes):
        if node.target in ADDING and not node.kwargs:
            left = [x for x in node.all_input_nodes if x not in zeros]
            if len(node.all_input_nodes) == 2 and len(left) == 1 and _is_same(node, left[0]):
                node.replace_all_uses_with(left[0])
                gm.graph.erase_node(node)
        elif node.target in _ZEROS or _makes_zeros(node, zeros):
            zeros.add(node)
    if zeros:
        gm.graph.eliminate_dead_code()


def _makes_zeros(node: Node, zeros: set[Node]) -> bool:
    if node.target in MULTIPLYING:
        return any(x in zeros for x in node.all_input_nodes)
    if not node.args or node.args[0] not in zeros:
        return False
    if node.target is ATEN.hardtanh.default:
        given = [x for x in node.args[1:3] if isinstance(x, (int, float))]
        low, high = [*given, -1.0, 1.0][:2] if len(given) != 1 else (given[0], 1.0)
        return low <= 0 <= high
    return node.target in _KEEPING


def _is_same(node: Node, other: Node) -> bool:
    one, two = fake(node), fake(other)
    return one.shape == two.shape and one.dtype == two.dtype
