"""Where a graph computes in float: which tensors no int8 kernel reads.

Between two operators without int8 kernels nothing is won by eight bits, and precision is lost. So
where layers may write floats, what a layer norm, a GELU or a softmax reads stays as the layer or
the product before it computed it; and the residual stream of a transformer, which only additions
and layer norms read, has no eight bits at all.
"""

from collections.abc import Callable
from operator import getitem

from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, fake, is_float, only_user, optional_input, stored
from edgecompress.compress.operators import (
    ADDING,
    CLIPPING,
    CONCATENATING,
    MATMULS,
    MOVING,
    MULTIPLYING,
)

FLOAT = {ATEN.layer_norm.default, ATEN.softmax.int}
"""Runtimes whose layers may write floats have no int8 kernel for these, or a slower one: ONNX
Runtime's QLinearSoftmax took 46 us where DequantizeLinear, Softmax and QuantizeLinear took 30."""
MAY_WRITE_FLOAT = {ATEN.linear.default, ATEN.matmul.default, ATEN.bmm.default}
"""int8 kernels that can leave their sums as floats, in all runtimes that have any such."""
FOLLOWING = ADDING | MULTIPLYING
"""What is as cheap in float: computed in eight bits only where the result is wanted so."""
_HANDING_ON = {*FOLLOWING, *MOVING, *CLIPPING, *CONCATENATING, getitem}


def read_in_int8(model: GraphModule, in_int8: Callable[[Node], bool]) -> set[Node]:
    """Tensors that an int8 kernel reads, or the caller of the model, perhaps after they were moved
    or added to others.

    Args:
        model: a captured graph.
        in_int8: whether an operator may be computed by an int8 kernel.

    """
    found: set[Node] = set()
    for node in reversed(model.graph.nodes):
        if any(_reads(user, found, in_int8) for user in node.users):
            found.add(node)
    return found


def _reads(user: Node, found: set[Node], in_int8: Callable[[Node], bool]) -> bool:
    if user.op != "call_function":
        return True  # the output, or a batch norm, which goes with the layer before it
    if not is_float(user):
        return False
    if user.target in _HANDING_ON and (user.target is getitem or in_int8(user)):
        return user in found
    return in_int8(user)


def scale_scores(model: GraphModule) -> None:
    """(query * number) @ key becomes (query @ key) * number before a softmax: scores are in float
    then, and queries are not rounded once more.
    """
    for scaled in list(model.graph.nodes):
        product = only_user(scaled) if scaled.target in MULTIPLYING else None
        factor = optional_input(scaled, 1) if product is not None else None
        if product is None or factor is None or factor.op != "get_attr":
            continue
        of_query = product.target in MATMULS and product.args[0] is scaled
        if not of_query or stored(model, factor).numel() != 1 or not _are_scores(product):
            continue
        query = scaled.args[0]
        assert isinstance(query, Node), "a product of two constants was folded"
        product.replace_input_with(scaled, query)
        product.replace_all_uses_with(scaled)
        scaled.args = (product, factor)
        scaled.meta["val"] = fake(product)
        product.append(scaled)
    model.recompile()


def _are_scores(product: Node) -> bool:
    following = only_user(product)
    if following is not None and following.target in ADDING:
        following = only_user(following)
    return following is not None and following.target is ATEN.softmax.int
