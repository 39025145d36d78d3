"""Resizing for TFLite: litert-torch writes all of it as if the corners of pixels were aligned, and
sizes were multiples, which RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR are not always.

Resizing is linear, along one axis after the other, so that a constant matrix for each axis says all
of it: what the operator itself makes of an identity.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import Argument

from edgecompress.compress.fx import ATEN, fake, input_of

NEAREST = (ATEN.upsample_nearest2d.vec, ATEN.upsample_nearest2d.default)
BILINEAR = (ATEN.upsample_bilinear2d.vec, ATEN.upsample_bilinear2d.default)
OTHERS = (
    ATEN.upsample_bicubic2d.vec,
    ATEN.upsample_bicubic2d.default,
    ATEN._upsample_bilinear2d_aa.default,
    ATEN._upsample_bilinear2d_aa.vec,
    ATEN._upsample_bicubic2d_aa.default,
    ATEN._upsample_bicubic2d_aa.vec,
)
RESIZING = (*NEAREST, *BILINEAR, *OTHERS)
_EXACT = 1e-6
_ROWS, _COLUMNS = 2, 3
Constant = Callable[[Tensor], Node]


def resize(graph: GraphModule, node: Node, constant: Constant) -> None:
    """Rewrite `node`, one of `RESIZING`, where its kernel in TFLite would compute something else.

    Args:
        graph: that `node` is in.
        node: on [N, C, H, W].
        constant: makes a node of a tensor, before `node`.

    """
    x, to = input_of(node), [int(size) for size in fake(node).shape[2:]]
    size = [int(size) for size in fake(x).shape[2:]]
    if node.target in NEAREST and all(new % old == 0 for new, old in zip(to, size, strict=True)):
        return
    if node.target in BILINEAR and _is_plain(node, size, to):
        return
    with graph.graph.inserting_before(node):
        result = x
        for axis in (_ROWS, _COLUMNS):
            matrix = _matrix(node, axis, size)
            if node.target in NEAREST:
                taken = constant(matrix.argmax(1))
                result = graph.graph.call_function(
                    ATEN.index_select.default, (result, axis, taken)
                )
            elif axis == _ROWS:
                result = graph.graph.call_function(
                    ATEN.matmul.default, (constant(matrix), result)
                )
            else:
                result = graph.graph.call_function(
                    ATEN.matmul.default, (result, constant(matrix.T.contiguous()))
                )
    node.replace_all_uses_with(result)


def _is_plain(node: Node, size: list[int], to: list[int]) -> bool:
    """Whether positions follow from the sizes alone; not where a factor was given of which the
    size is rounded: `scale_factor=2.1` makes 16 of 8, and steps of 1 / 2.1.
    """
    is_default = node.target is ATEN.upsample_bilinear2d.default
    factors = node.args[3:5] if is_default else (node.args[3] if len(node.args) > 3 else None)
    if not factors or node.args[2]:  # align_corners: the factor is not used
        return True
    assert isinstance(factors, (list, tuple))
    return all(
        factor is None or abs(float(factor) * old - new) < _EXACT  # type: ignore[arg-type]
        for factor, old, new in zip(factors, size, to, strict=False)
    )


def _matrix(node: Node, axis: int, size: list[int]) -> Tensor:
    """[new, old], by which the other axis, along which nothing changes, is resized too."""
    height, width = size
    if axis == _ROWS:
        image = torch.eye(height)[None, :, :, None].expand(1, height, height, width)
    else:
        image = torch.eye(width)[None, :, None, :].expand(1, width, height, width)
    assert callable(node.target)
    rest: tuple[Argument, ...] = node.args[1:]
    resized: Tensor = node.target(image.contiguous(), *rest, **node.kwargs)
    return (resized[0, :, :, 0] if axis == _ROWS else resized[0, :, 0, :]).T.contiguous()
