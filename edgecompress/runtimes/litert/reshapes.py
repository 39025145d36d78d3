"""Sums and products of reshaped tensors, for litert-torch.

The converter reshapes the result instead of the operands, as it may, but leaves it the scale of
the operands, beyond which it saturates. Here that is done before, and the result has its own scale.
Where one of the operands was clipped after it was reshaped, the converter reshapes that later, too.
"""

from torch.fx import GraphModule, Node

from edgecompress.compress.graphs import (
    ATEN,
    CLIPPING,
    call_beside,
    fake,
    input_of,
    is_dequantizer,
    is_quantizer,
    only_user,
)

JOINED = (ATEN.add.Tensor, ATEN.sub.Tensor, ATEN.mul.Tensor)
_RESHAPES = {
    ATEN.view.default,
    ATEN.reshape.default,
    ATEN.flatten.using_ints,
    ATEN.unflatten.int,
    ATEN.select.int,
    ATEN.squeeze.default,
    ATEN.squeeze.dim,
    ATEN.squeeze.dims,
    ATEN.unsqueeze.default,
}
_BEHIND = {*CLIPPING, *_RESHAPES} - {ATEN.select.int}


def reshape_after(_: GraphModule, node: Node) -> None:
    """Rewrite `node`, an elementwise operator between DQ and Q, whose operands are of one shape
    before they are reshaped alike. What clips or reshapes the result may be in between.
    """
    last, quantizer = node, only_user(node)
    while quantizer is not None and quantizer.target in _BEHIND:
        last, quantizer = quantizer, only_user(quantizer)
    if quantizer is None or not is_quantizer(quantizer):
        return
    operands = node.all_input_nodes
    if not operands or not all(_is_reshaped(x) for x in operands):
        return
    first, *others = operands
    if any(
        fake(first).shape != fake(other).shape
        or _shape_before(_reshape(first)) != _shape_before(_reshape(other))
        for other in others
    ):
        return
    before = {operand: _before(operand) for operand in operands}
    x, *rest = (before[given] if isinstance(given, Node) else given for given in node.args)
    assert isinstance(x, Node)
    result = _copy(node, node, x, *rest)
    result = quantised(_clipped(result, last, node), quantizer, quantizer)
    shape = [int(size) for size in fake(last).shape]
    last.replace_all_uses_with(call_beside(quantizer, ATEN.view.default, result, shape))


def clip_before(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, which clips a reshaped operand of a sum or product, to clip it before."""
    quantizer = only_user(node)
    if quantizer is None or not is_quantizer(quantizer):
        return
    readers = [reader for dequantizer in quantizer.users for reader in dequantizer.users]
    if any(reader.target in JOINED for reader in readers):
        reshape_after(graph, node)


def _is_reshaped(node: Node) -> bool:
    """Whether it is the DQ of what a DQ was reshaped to."""
    if not is_dequantizer(node) or not is_quantizer(input_of(node)):
        return False
    reshape = _reshape(node)
    return reshape.target in _RESHAPES and is_dequantizer(input_of(reshape))


def _reshape(operand: Node) -> Node:
    return input_of(input_of(operand))


def _shape_before(reshape: Node) -> list[int]:
    shape = [int(size) for size in fake(input_of(reshape)).shape]
    if reshape.target is ATEN.select.int:
        dim = reshape.args[1]
        assert isinstance(dim, int)
        shape[dim] = 1
    return shape


def _before(operand: Node) -> Node:
    """What an operand would be, had it not been reshaped; of a selected part the slice."""
    reshape = _reshape(operand)
    source = input_of(reshape)
    if reshape.target is not ATEN.select.int:
        # A DQ of its own, as `litert_graph` gives each reader.
        return _copy(source, reshape, input_of(source), *source.args[1:])
    dim, index = reshape.args[1:3]
    assert isinstance(dim, int)
    assert isinstance(index, int)
    start = index % int(fake(source).shape[dim])
    part = call_beside(reshape, ATEN.slice.Tensor, source, dim, start, start + 1)
    return quantised(part, input_of(operand), input_of(operand))


def _clipped(x: Node, last: Node, first: Node) -> Node:
    """What clips from behind `first` to `last`, done to `x`."""
    steps = []
    while last is not first:
        steps.append(last)
        last = input_of(last)
    for step in reversed(steps):
        if step.target in CLIPPING:
            x = _copy(step, step, x, *step.args[1:])
    return x


def quantised(x: Node, quantizer: Node, before: Node) -> Node:
    """Q and DQ of `x`, with the scale of `quantizer`, before the node `before`."""
    dequantizer = next(user for user in quantizer.users if is_dequantizer(user))
    integers = _copy(quantizer, before, x, *quantizer.args[1:])
    return _copy(dequantizer, before, integers, *dequantizer.args[1:])


def _copy(node: Node, before: Node, x: Node, *rest: object) -> Node:
    """The same operator on `x`, in its shape."""
    with before.graph.inserting_before(before):
        made = before.graph.call_function(node.target, (x, *rest), dict(node.kwargs))  # type: ignore[arg-type]
    made.meta["val"] = fake(x).to(fake(node).dtype)
    return made
