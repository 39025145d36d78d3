"""Means over windows of an image, in a converted graph: as MEAN, or as a depthwise convolution
whose weights are all alike. AVERAGE_POOL_2D has one scale for what it reads and writes; these have
two, as the graph was trained.
"""

import torch
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import (
    ATEN,
    Window,
    averaged_window,
    fake,
    hold,
    input_of,
    only_user,
)
from edgecompress.compress.requantize import MEAN_WEIGHT, fits

MEANS = (ATEN.avg_pool2d.default, ATEN.mean.dim)
_DECOMPOSED = torch.ops.quantized_decomposed
_FLOAT32 = 2.0**-22


def average(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, one of `MEANS` between DQ and Q. A mean over the whole image is a convolution
    only where its scale was chosen to be rounded so (`compress.requantize`).
    """
    x, window = input_of(node), averaged_window(node)
    if window is None or not window.uniform or not is_dequantizer(x):
        return
    whole = window.size == list(fake(x).shape[2:]) and not any(window.padding)
    with graph.graph.inserting_before(node):
        if not whole or _rounds_alike(x, node, window.positions):
            new = _as_convolution(graph, node, window)
            if fake(node).dim() < 4:
                shape = [int(size) for size in fake(node).shape]
                new = graph.graph.call_function(ATEN.view.default, (new, shape))
        elif node.target is ATEN.mean.dim:
            return
        else:
            new = graph.graph.call_function(ATEN.mean.dim, (x, [2, 3], True))
    node.replace_all_uses_with(new)


def is_dequantizer(node: Node) -> bool:
    return "dequantize_per" in str(node.target)


def is_quantizer(node: Node) -> bool:
    return "quantize_per" in str(node.target) and not is_dequantizer(node)


def _rounds_alike(dequantizer: Node, node: Node, positions: int) -> bool:
    quantizer = only_user(node)
    if quantizer is None or "quantize_per_tensor" not in str(quantizer.target):
        return False
    before, after = dequantizer.args[1], quantizer.args[1]
    if not isinstance(before, float) or not isinstance(after, float):
        return False
    if not fits(positions, int(fake(dequantizer).shape[1])):
        return False
    per_step = after / before * MEAN_WEIGHT * positions
    odd = round(per_step)
    return odd % 2 == 1 and abs(per_step / odd - 1) < _FLOAT32


def _as_convolution(graph: GraphModule, node: Node, window: Window) -> Node:
    x = input_of(node)
    channels, share = int(fake(x).shape[1]), 1 / window.positions
    values = torch.full((channels, 1, *window.size), share)
    scale = torch.full((channels,), share / MEAN_WEIGHT)
    zero_point = torch.zeros(channels, dtype=torch.int64)
    weight, scales, zeros = (
        hold(graph, node, "_litert_mean", value) for value in (values, scale, zero_point)
    )
    qparams = (scales, zeros, 0, -128, 127, torch.int8)
    call = graph.graph.call_function
    integers = call(_DECOMPOSED.quantize_per_channel.default, (weight, *qparams))
    numbers = call(_DECOMPOSED.dequantize_per_channel.default, (integers, *qparams))
    rest = (None, window.stride, window.padding, [1, 1], channels)
    return call(ATEN.conv2d.default, (x, numbers, *rest))
