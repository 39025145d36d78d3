"""A product with a constant matrix is a linear layer, whose weight has a scale per output channel
and whose bias is added in 32 bits.
"""

from torch import nn
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import (
    ATEN,
    fake,
    hold,
    optional_input,
    stored,
)

_PRODUCTS = {ATEN.matmul.default, ATEN.mm.default}


def make_linear(gm: GraphModule) -> None:
    """Rewrite `x @ w` and `addmm(bias, x, w)` with a constant w [in, out], in place. Constants are
    folded before.
    """
    for node in list(gm.graph.nodes):
        if node.target is ATEN.addmm.default:
            bias, x, weight = (optional_input(node, index) for index in range(3))
            if set(node.kwargs) or bias is None or not _is_bias(node, bias):
                continue
        elif node.target in _PRODUCTS:
            bias, x, weight = None, *(optional_input(node, index) for index in range(2))
        else:
            continue
        if x is not None and weight is not None and _is_matrix(weight) and x.op != "get_attr":
            _replace(gm, node, x, weight, bias)
    gm.graph.eliminate_dead_code()
    gm.recompile()


def _is_matrix(node: Node) -> bool:
    return node.op == "get_attr" and fake(node).dim() == 2 and fake(node).is_floating_point()


def _is_bias(node: Node, bias: Node) -> bool:
    return bias.op == "get_attr" and list(fake(bias).shape) == [fake(node).shape[-1]]


def _replace(gm: GraphModule, node: Node, x: Node, weight: Node, bias: Node | None) -> None:
    value = stored(gm, weight)
    turned = nn.Parameter(value.detach().t().contiguous(), requires_grad=value.requires_grad)
    holder = hold(gm, node, f"_transposed_{node.name}", turned)
    with gm.graph.inserting_before(node):
        linear = gm.graph.call_function(ATEN.linear.default, (x, holder, bias))
    holder.meta = {**weight.meta, "val": fake(weight).t()}
    linear.meta = dict(node.meta)
    node.replace_all_uses_with(linear)
    gm.graph.erase_node(node)
