"""Rarely used arguments of operators, spelled out as operators of their own: what reads the graph
later (rules, converters) looks at the usual ones only.
"""

import math

from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import Argument

from edgecompress.compress.fx import ATEN, call_beside, fake, integers_in

# Each is `x + alpha * y` or `x - alpha * y`.
_SUMS: dict[object, OpOverload] = {
    ATEN.add.Tensor: ATEN.add.Tensor,
    ATEN.sub.Tensor: ATEN.sub.Tensor,
}


_PADDING, _CEILING, _DIVISOR = 3, 4, 6
_POOLS = {  # avg_pool(x, size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    ATEN.avg_pool1d.default,
    ATEN.avg_pool2d.default,
    ATEN.avg_pool3d.default,
}


def spell_out(program: ExportedProgram) -> None:
    """In place: `torch.add(x, y, alpha=2)` becomes `x + 2 * y`, and sub likewise; an average pool
    with a divisor of its own the ordinary one and a factor.
    """
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target in _SUMS and node.kwargs.get("alpha", 1) != 1:
            new = _sum(node)
        elif node.target in _POOLS and (given := _pooling(node)) is not None:
            new = _pool(node, given)
        else:
            continue
        node.replace_all_uses_with(new)
        program.graph_signature.replace_all_uses(node.name, new.name)
        graph.erase_node(node)
    program.graph_module.recompile()


def _sum(node: Node) -> Node:
    x, y = node.args[:2]
    alpha = node.kwargs["alpha"]
    if isinstance(y, Node):
        scaled: Argument = call_beside(node, ATEN.mul.Tensor, y, alpha)
    else:
        assert isinstance(y, (int, float))
        assert isinstance(alpha, (int, float))
        scaled = y * alpha
    return call_beside(node, _SUMS[node.target], x, scaled)


def _pooling(node: Node) -> list[Argument] | None:
    """All arguments, where the plain ones do not say it all, and can.

    A window that ends beyond an image without padding is divided by what it covers: ONNX Runtime
    does so only if padding does not count. One with a divisor of its own ends inside, or else the
    operator stays as it is.
    """
    if len(node.args) <= _CEILING:
        return None
    given = [*node.args, *(False, True, None)[len(node.args) - _CEILING :]][: _DIVISOR + 1]
    if given[_DIVISOR] is not None:
        given[_CEILING + 1] = True  # all positions of a window count alike
        return None if given[_CEILING] else given
    if not given[_CEILING] or any(integers_in(given[_PADDING])):
        return None
    given[_CEILING + 1] = False
    return given


def _pool(node: Node, given: list[Argument]) -> Node:
    target = node.target
    assert isinstance(target, OpOverload)
    divisor = given[_DIVISOR]
    pooled = call_beside(node, target, *given[:_DIVISOR])
    if divisor is None:
        return pooled
    assert isinstance(divisor, int)
    size = integers_in(given[1])
    rank = fake(node).dim() - 2 if len(size) == 1 else 1
    return call_beside(node, ATEN.mul.Tensor, pooled, math.prod(size) ** rank / divisor)
