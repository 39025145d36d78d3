"""Sums with zeros, left out of a graph: what a residual branch leaves behind that is gone."""

from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, fake
from edgecompress.compress.operators import ADDING, CLIPPING, MOVING, MULTIPLYING, PADDING

_ZEROS = {ATEN.zeros.default, ATEN.zeros_like.default, ATEN.new_zeros.default}
_KEEPING = {*MOVING - PADDING, *CLIPPING, ATEN.gelu.default, ATEN.silu.default}
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
    return node.target in _KEEPING and bool(node.args) and node.args[0] in zeros


def _is_same(node: Node, other: Node) -> bool:
    one, two = fake(node), fake(other)
    return one.shape == two.shape and one.dtype == two.dtype
