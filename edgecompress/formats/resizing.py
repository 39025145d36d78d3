"""Resizing of images, where a runtime's own operator computes something else.

Resizing is linear, along one axis after the other, so that a constant matrix for each axis says all
of it: what the operator itself makes of an identity.
"""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgecompress.compress.graphs import ATEN, call_beside, fake, hold, input_of, module_path
from edgecompress.errors import ModelError

_NEAREST = (ATEN.upsample_nearest2d.vec, ATEN.upsample_nearest2d.default)
_BILINEAR = (ATEN.upsample_bilinear2d.vec, ATEN.upsample_bilinear2d.default)
_OTHERS = (
    ATEN.upsample_bicubic2d.vec,
    ATEN.upsample_bicubic2d.default,
    ATEN._upsample_bilinear2d_aa.vec,
    ATEN._upsample_bilinear2d_aa.default,
    ATEN._upsample_bicubic2d_aa.vec,
    ATEN._upsample_bicubic2d_aa.default,
)
RESIZING = (*_NEAREST, *_BILINEAR, *_OTHERS)
_ROWS, _COLUMNS = 2, 3
_EXACT = 1e-6


def resize_for_tflite(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, one of `RESIZING`, where TFLite has no operator for it, or litert-torch takes
    one with other positions: RESIZE_NEAREST_NEIGHBOR is right for multiples of a size only.

    Args:
        graph: what `node` is in.
        node: on [N, C, H, W].

    """
    result = input_of(node)
    old, new = ([int(size) for size in fake(x).shape[2:]] for x in (result, node))
    if node.target in _NEAREST and all(n % o == 0 for n, o in zip(new, old, strict=True)):
        return
    if node.target in _BILINEAR and follows_sizes(node):
        return
    for axis in (_ROWS, _COLUMNS):
        matrix = _matrix(node, axis, old)
        if node.target in _NEAREST:
            taken = _constant(graph, node, matrix.argmax(1))
            result = call_beside(node, ATEN.index_select.default, result, axis, taken)
        elif axis == _ROWS:
            result = call_beside(node, ATEN.matmul.default, _constant(graph, node, matrix), result)
        else:
            turned = _constant(graph, node, matrix.T.contiguous())
            result = call_beside(node, ATEN.matmul.default, result, turned)
    node.replace_all_uses_with(result)


def _constant(graph: GraphModule, node: Node, value: Tensor) -> Node:
    held = hold(graph, node, "_resizing", value)
    held.meta["val"] = fake(node).new_empty(value.shape, dtype=value.dtype)
    return held


def refuse_odd_factors(graph: GraphModule) -> None:
    """ONNX's Resize takes the positions of nearest neighbours from the sizes.

    Raises:
        ModelError: a factor says otherwise.

    """
    for node in graph.graph.nodes:
        if node.target in _NEAREST and not follows_sizes(node):
            old, new = (list(fake(x).shape[2:]) for x in (input_of(node), node))
            raise ModelError(
                f"onnx: {module_path(node) or 'interpolate'}: a scale_factor that makes {new} of"
                f" {old} takes other pixels than ONNX does; give interpolate() the size, or"
                " recompute_scale_factor=True"
            )


def follows_sizes(node: Node) -> bool:
    """Whether the positions follow from the sizes alone; not where a factor was given of which the
    size is rounded: `scale_factor=2.1` makes 16 of 8, in steps of 1 / 2.1.
    """
    given = {
        argument.name: value
        for argument, value in zip(node.target._schema.arguments, node.args, strict=False)  # type: ignore[union-attr]
    }
    factors = given.get("scale_factors") or [given.get("scales_h"), given.get("scales_w")]
    if given.get("align_corners"):
        return True
    assert isinstance(factors, (list, tuple))
    old, new = fake(input_of(node)).shape[2:], fake(node).shape[2:]
    return all(
        not isinstance(factor, float) or abs(factor * o - n) < _EXACT
        for factor, o, n in zip(factors, old, new, strict=True)
    )


def _matrix(node: Node, axis: int, size: list[int]) -> Tensor:
    """[new, old] of one axis; nothing changes along the other, which is resized too."""
    height, width = size
    if axis == _ROWS:
        image = torch.eye(height)[None, :, :, None].expand(1, height, height, width)
    else:
        image = torch.eye(width)[None, :, None, :].expand(1, width, height, width)
    assert callable(node.target)
    resized: Tensor = node.target(image.contiguous(), *node.args[1:], **node.kwargs)
    return (resized[0, :, :, 0] if axis == _ROWS else resized[0, :, 0, :]).T.contiguous()
