"""Sums and products of reshaped tensors, for litert-torch.

The converter reshapes the result instead of the operands, as it may, but leaves the result the scale
of the operands, beyond which it saturates. Here the result is reshaped first, with its own scale.
"""

from torch.fx import GraphModule, Node

from edgecompress.compress.fx import ATEN, call_beside, fake, input_of, only_user
from edgecompress.export.litert_means import is_dequantizer

_RESHAPES = {
    ATEN.view.default,
    ATEN.reshape.default,
    ATEN.flatten.using_ints,
    ATEN.unflatten.int,
    ATEN.squeeze.default,
    ATEN.squeeze.dim,
    ATEN.squeeze.dims,
    ATEN.unsqueeze.default,
}


def reshape_after(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, a sum or product between DQ and Q, whose operands are of one shape before they
    are reshaped alike.
    """
    quantizer = only_user(node)
    if quantizer is None or not _is_quantizer(quantizer):
        return
    if not all(isinstance(x, Node) and _is_reshaped(x) for x in node.args[:2]):
        return
    first, second = (input_of(input_of(input_of(node, index))) for index in (0, 1))
    before = _shape_before(first)
    same_result = fake(input_of(node)).shape == fake(input_of(node, 1)).shape
    if before != _shape_before(second) or not same_result:
        return
    operands = [_before(graph, input_of(node, index)) for index in (0, 1)]
    assert callable(node.target)
    result = call_beside(node, node.target, *operands)  # type: ignore[arg-type]
    result = _quantised(node, result, quantizer)
    shape = [int(size) for size in fake(node).shape]
    node.replace_all_uses_with(call_beside(node, ATEN.view.default, result, shape))


def _is_quantizer(node: Node) -> bool:
    return "quantize_per_tensor" in str(node.target) and not is_dequantizer(node)


def _is_reshaped(node: Node) -> bool:
    """Whether it is the DQ of what a DQ was reshaped to."""
    if not is_dequantizer(node) or not _is_quantizer(input_of(node)):
        return False
    reshape = input_of(input_of(node))
    known = reshape.target in _RESHAPES or reshape.target is ATEN.select.int
    return known and is_dequantizer(input_of(reshape))


def _shape_before(reshape: Node) -> list[int]:
    shape = [int(size) for size in fake(input_of(reshape)).shape]
    if reshape.target is ATEN.select.int:
        dim = reshape.args[1]
        assert isinstance(dim, int)
        shape[dim] = 1
    return shape


def _before(graph: GraphModule, operand: Node) -> Node:
    """What an operand was before it was reshaped; of a selected part the slice."""
    reshape = input_of(input_of(operand))
    source = input_of(reshape)
    if reshape.target is not ATEN.select.int:
        return source
    dim, index = reshape.args[1:3]
    assert isinstance(dim, int)
    assert isinstance(index, int)
    start = index % int(fake(source).shape[dim])
    part = call_beside(operand, ATEN.slice.Tensor, source, dim, start, start + 1)
    return _quantised(operand, part, input_of(operand))


def _quantised(before: Node, x: Node, quantizer: Node) -> Node:
    """Q and DQ of `x` with the scale of `quantizer`."""
    dequantizer = next(user for user in quantizer.users if is_dequantizer(user))
    with before.graph.inserting_before(before):
        integers = before.graph.call_function(quantizer.target, (x, *quantizer.args[1:]))  # type: ignore[arg-type]
        numbers = before.graph.call_function(dequantizer.target, (integers, *dequantizer.args[1:]))  # type: ignore[arg-type]
    for made, like in ((integers, quantizer), (numbers, dequantizer)):
        made.meta["val"] = fake(x).to(fake(like).dtype)
    return numbers
