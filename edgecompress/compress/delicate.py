"""Which operators eight bits would ruin, by what their values are for.

Eight bits keep the large values of a tensor. Where a function tells small values apart (a
logarithm, a root, a division by them), a step of the largest is all or nothing to it: 1e-6 added
before a logarithm becomes 0. So nothing is quantised between a quantity and such a function. What
it needs is followed backwards through the graph:

    LOG   before log, 1 / x, x^-p and the like: relative precision of every value.
    ROOT  before sqrt and x^p, p < 1: the same, but not of what was squared: |x| is as exact as x.
    SUM   of what is summed or averaged before those, or has 1 or more added: the largest values
          decide, so that what was squared, and a layer's output, may have eight bits (as those
          before nn.LayerNorm have).

A layer (convolution, linear, matmul) before a LOG computes in float, and so do layers before it
that no activation parts from it: a Fourier transform before a mel filter bank before a logarithm.
A filter bank, which is a layer over squares, does so before log1p too.
"""

from collections.abc import Callable
from enum import IntEnum
from operator import getitem

from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, is_float, optional_input, stored
from edgecompress.compress.operators import (
    ADDING,
    CLIPPING,
    CONCATENATING,
    MATMULS,
    MULTIPLYING,
    SHARING,
    SPLITTING,
    WEIGHTED,
)


class Need(IntEnum):
    """The greater includes the lesser."""

    SUM = 1
    ROOT = 2
    LAYER = 3
    """LOG, behind a layer."""
    LOG = 4


_LOGS = {
    ATEN.log.default,
    ATEN.log2.default,
    ATEN.log10.default,
    ATEN.logit.default,
    ATEN.rsqrt.default,
    ATEN.reciprocal.default,
}
_LOGS_OF_MORE = {ATEN.log1p.default}
_ROOTS = {ATEN.sqrt.default, ATEN.acos.default, ATEN.asin.default}
_DIVISIONS = {ATEN.div.Tensor, ATEN.true_divide.Tensor}
_POWERS = {ATEN.pow.Tensor_Scalar, ATEN.pow.Tensor_Tensor}
# Their results span orders of magnitude, and so have the large ones of eight bits only.
_WIDE = {
    ATEN.rsqrt.default,
    ATEN.reciprocal.default,
    ATEN.exp.default,
    ATEN.exp2.default,
    ATEN.expm1.default,
}
_SQUARING = {ATEN.square.default, *_POWERS}
_SUMMING = {
    ATEN.mean.dim,
    ATEN.mean.default,
    ATEN.sum.dim_IntList,
    ATEN.sum.default,
    ATEN.cumsum.default,
    ATEN.amax.default,
    ATEN.max.dim,
    ATEN.max.default,
    ATEN.avg_pool1d.default,
    ATEN.avg_pool2d.default,
    ATEN.avg_pool3d.default,
}
_LAYERS = {*WEIGHTED, *MATMULS, ATEN.einsum.default}
_MOVING = {*(SHARING - CLIPPING), *CONCATENATING, *SPLITTING, getitem}
_LINEAR = {
    *ADDING,
    ATEN.sub.Tensor,
    ATEN.rsub.Scalar,
    ATEN.rsub.Tensor,
    ATEN.neg.default,
    ATEN.abs.default,
    *_MOVING,
    ATEN.to.dtype,
    ATEN.type_as.default,
    ATEN._to_copy.default,
}
_PASSING = {
    *_LINEAR,
    *MULTIPLYING,
    *_DIVISIONS,
    *_SQUARING,
    *_SUMMING,
    *_LOGS,
    *_LOGS_OF_MORE,
    *_ROOTS,
    *CLIPPING,
    ATEN.clamp.default,
    ATEN.clamp.Tensor,
    ATEN.clamp_min.default,
    ATEN.clamp_max.default,
    ATEN.maximum.default,
    ATEN.minimum.default,
    ATEN.max.other,
    ATEN.min.other,
    ATEN.where.self,
    ATEN.where.ScalarOther,
    ATEN.where.ScalarSelf,
    ATEN.masked_fill.Scalar,
    ATEN.masked_fill.Tensor,
}
"""What hands a need on to its operands; all else (an exponential, a sigmoid) is asked for its
result only."""
_COMBINING = ADDING | MULTIPLYING


def delicate(model: GraphModule, has_kernel: Callable[[Node], bool]) -> set[Node]:
    """Operators that must compute in float, or might as well.

    Args:
        model: a captured graph.
        has_kernel: whether there is an int8 kernel for an operator.

    """
    found = _asked(model)
    _follow_wide(model, found)
    _only_read_in_float(model, found, has_kernel)
    return found


def is_constant(node: Node) -> bool:
    """Whether it has the same value in every run."""
    while node.target in SHARING or node.target in (ATEN.detach.default, ATEN.alias.default):
        node = node.all_input_nodes[0]
    return node.op == "get_attr"


def _asked(model: GraphModule) -> set[Node]:
    """Steep functions, and what lies between them and the quantities that they are taken of."""
    needs: dict[Node, Need] = {}
    found = set()
    for node in reversed(model.graph.nodes):
        if node.op not in ("call_function", "call_module") or not is_float(node):
            continue
        need, own = needs.get(node), _own_needs(node)
        if need is Need.SUM and node.target in _LAYERS and _reads_squares(node):
            need = Need.LAYER
        if need is Need.SUM and node.target not in _PASSING:
            need = None
        if own or need is not None:
            found.add(node)
        handed = _handed_on(node, need)
        if handed is not None and _adds_one(model, node):
            handed = min(handed, Need.SUM)
        for operand in node.all_input_nodes:
            asked = max(own.get(operand, 0), 0 if handed is None else handed)
            if is_float(operand) and asked > needs.get(operand, 0):
                needs[operand] = Need(asked)
    return found


def _adds_one(model: GraphModule, node: Node) -> bool:
    """Or more, so that a sum with what is not negative is never small."""
    constants = [x for x in node.all_input_nodes if x.op == "get_attr"]
    if node.target not in ADDING or len(constants) != 1:
        return False
    return bool((stored(model, constants[0]) >= 1).all())


def _reads_squares(layer: Node) -> bool:
    """Whether a layer sums squares up, as a filter bank does that reads a power spectrum."""
    ahead = [x for x in layer.all_input_nodes if is_float(x)]
    seen = set(ahead)
    while ahead:
        node = ahead.pop()
        if node.op == "call_function" and _squares(node):
            return True
        if node.target in _LINEAR:
            new = set(node.all_input_nodes) - seen
            seen |= new
            ahead += new
    return False


def _own_needs(node: Node) -> dict[Node, Need]:
    """What a steep function needs of its operands."""
    x, other = optional_input(node, 0), optional_input(node, 1)
    if node.target in _DIVISIONS:
        return {} if other is None or is_constant(other) else {other: Need.LOG}
    if x is None:
        return {}
    if node.target in _LOGS:
        return {x: Need.LOG}
    if node.target in _LOGS_OF_MORE:
        return {x: Need.SUM}
    if node.target in _ROOTS:
        return {x: Need.ROOT}
    if node.target in _POWERS:
        exponent = node.args[1]
        if not isinstance(exponent, (int, float)):
            return {x: Need.ROOT}  # x^p and, behind a mean, x^(1 / p)
        if exponent < 0:
            return {x: Need.LOG}
        return {x: Need.ROOT} if exponent < 1 else {}
    return {}


def _handed_on(node: Node, need: Need | None) -> Need | None:
    """What a node needs of its operands to give what is needed of itself."""
    if need is None:
        return None
    if node.op == "call_module":
        return need  # a batch norm, which goes with the layer before it
    if node.target in _LAYERS:
        return Need.LAYER if need >= Need.LAYER else None
    if need is Need.LAYER:
        linear = node.target in _LINEAR or node.target in _SQUARING or node.target in MULTIPLYING
        return need if linear else None
    if node.target not in _PASSING:
        return None
    if node.target in _SUMMING:
        return Need.SUM
    return None if _squares(node) and need <= Need.ROOT else need


def _squares(node: Node) -> bool:
    """x^2, x * x and other powers that are at least 1."""
    if node.target in MULTIPLYING:
        return len(node.args) > 1 and node.args[0] is node.args[1]
    return node.target in _SQUARING and not _own_needs(node)


def _follow_wide(model: GraphModule, found: set[Node]) -> None:
    """A product with what spans orders of magnitude (x * rsqrt(..)) is what brings it back to a
    common size; and further constants (gain and bias) are applied where the values already are.
    """
    wide: set[Node] = set()
    floating = set(found)
    for node in model.graph.nodes:
        varying = [x for x in node.all_input_nodes if is_float(x) and not is_constant(x)]
        if node.target in _WIDE or (node.target in _POWERS and _own_needs(node)):
            wide.add(node)
        elif node.target in MULTIPLYING and any(x in wide for x in varying):
            found.add(node)
            floating.add(node)
            if len(varying) == 1:
                wide.add(node)
        elif node.target in _LINEAR and varying and all(x in wide for x in varying):
            wide.add(node)
        elif len(varying) == 1 and varying[0] in floating:
            if node.target in _COMBINING:
                found.add(node)
            if node.target in _COMBINING or node.target in _LINEAR:
                floating.add(node)


def _only_read_in_float(
    model: GraphModule, found: set[Node], has_kernel: Callable[[Node], bool]
) -> None:
    """Sums and products between functions that have no int8 kernel gain nothing from one: all that
    read them compute in float, and not all that they read is in eight bits.
    """
    floating = set(found)
    between = []
    for node in reversed(model.graph.nodes):
        if node.op != "call_function" or not node.users or not is_float(node):
            continue
        follows = node.target in _COMBINING or node.target in _MOVING
        if follows and all(user in floating for user in node.users):
            floating.add(node)
            between.append(node)
        elif not follows and not has_kernel(node):
            floating.add(node)
    written = floating - set(between) | found
    for node in reversed(between):
        if any(operand in written for operand in node.all_input_nodes):
            written.add(node)
            if node.target in _COMBINING:
                found.add(node)
