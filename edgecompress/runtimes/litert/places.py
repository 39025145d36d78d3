"""Repeating and padding. What takes the same places of a tensor several times becomes GATHER with
constant places: litert-torch spreads an image that has become NHWC with the sizes of NCHW, and
works out mirrored places in the file, by operators on integers that runtimes of today lack.
"""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn import functional

from edgecompress.compress.graphs import (
    ATEN,
    call_beside,
    fake,
    hold,
    input_of,
    integers_in,
    is_dequantizer,
    is_quantizer,
    only_user,
)
from edgecompress.runtimes.litert.reshapes import quantised

_DECOMPOSED = torch.ops.quantized_decomposed
SPREADING = (
    ATEN.expand.default,
    ATEN.expand_as.default,
    ATEN.broadcast_to.default,
    ATEN.repeat.default,
)


def spread(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, one of `SPREADING`, that puts out an image [N, C, H, W]."""
    x = input_of(node)
    old, new = list(fake(x).shape), [int(size) for size in fake(node).shape]
    if len(new) != 4:
        return
    if len(old) < 4:
        old = [1] * (4 - len(old)) + old
        x = call_beside(node, ATEN.view.default, x, old)
    for axis, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            x = _taken(graph, node, x, axis, torch.arange(after) % before)
    node.replace_all_uses_with(x)


def pad(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, one of `PADDING`, where no kernel does it as it is."""
    mode, value = "constant", node.args[2:]
    if node.target is ATEN.pad.default and value:
        mode, value = str(value[0]), value[1:]
    if mode == "constant":
        number = value[0] if value else None
        _pad_and_add(graph, node, number if isinstance(number, int | float) else 0.0)
    elif mode != "reflect" or fake(node).dim() != 4:  # that is MIRROR_PAD
        _mirror(graph, node, mode)


def _pad_and_add(graph: GraphModule, node: Node, value: float) -> None:
    """A number beyond the range of x is added to the zeros with which x is padded. litert-torch
    pads in the scale of x, in which that number is the largest there.
    """
    x, quantizer = input_of(node), only_user(node)
    if quantizer is None or not is_quantizer(quantizer) or not is_dequantizer(x):
        return
    if x.args[1:] == quantizer.args[1:]:
        return
    widths = integers_in(node.args[1])
    padded = call_beside(node, ATEN.constant_pad_nd.default, x, widths, 0.0)
    border = functional.pad(torch.zeros(fake(x).shape), widths, value=value)
    constant = hold(graph, node, "_litert_border", border)
    constant.meta["val"] = fake(node)
    inner = quantised(padded, input_of(x), node)
    added = quantised(constant, quantizer, node)
    node.replace_all_uses_with(call_beside(node, ATEN.add.Tensor, inner, added))


def pool_and_scale(graph: GraphModule, node: Node) -> Node:
    """Rewrite `node`, a padded avg_pool2d(.., count_include_pad=False), as the pool that counts the
    zeros around x, times what makes up for them.

    Returns:
        That pool.

    """
    x, (size, stride, padding) = input_of(node), (integers_in(node.args[i]) for i in (1, 2, 3))
    around = (size, stride or size, padding, False, True)
    pool = call_beside(node, ATEN.avg_pool2d.default, x, *around)
    share = functional.avg_pool2d(torch.ones(1, 1, *fake(x).shape[2:]), *around)
    factor = hold(graph, node, "_litert_share", 1 / share)
    factor.meta["val"] = fake(node).new_empty(share.shape)
    counted, quantizer = pool, only_user(node)
    if quantizer is not None and is_quantizer(quantizer):
        counted = quantised(pool, quantizer, node)
        # One step is a whole part of 1, by which most are multiplied.
        step = 1.0 / int(255 * share.min())
        qparams = (step, -128, -128, 127, torch.int8)
        integers = call_beside(node, _DECOMPOSED.quantize_per_tensor.default, factor, *qparams)
        factor = call_beside(node, _DECOMPOSED.dequantize_per_tensor.default, integers, *qparams)
    node.replace_all_uses_with(call_beside(node, ATEN.mul.Tensor, counted, factor))
    return pool


def _mirror(graph: GraphModule, node: Node, mode: str) -> None:
    """The values with which it is padded are those of x itself."""
    x, widths = input_of(node), integers_in(node.args[1])
    last = fake(x).dim() - 1
    for number, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True)):
        axis = last - number
        if before or after:
            places = torch.arange(float(fake(x).shape[axis]))[None, None]
            padded = functional.pad(places, (before, after), mode=mode)
            x = _taken(graph, node, x, axis, padded[0, 0].long())
    node.replace_all_uses_with(x)


def _taken(graph: GraphModule, node: Node, x: Node, axis: int, places: Tensor) -> Node:
    """`places` of `x` along `axis`."""
    constant = hold(graph, node, "_litert_places", places)
    constant.meta["val"] = fake(node).new_empty(len(places), dtype=torch.int64)
    return call_beside(node, ATEN.index_select.default, x, axis, constant)
