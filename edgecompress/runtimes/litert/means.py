"""Means over windows of an image, in a converted graph: as MEAN, or as a depthwise convolution
whose weights are all alike. AVERAGE_POOL_2D has one scale for what it reads and writes; these have
two, as the graph was trained.
"""

import torch
from torch.fx import GraphModule, Node

from edgecompress.compress.graphs import (
    ATEN,
    MEAN_WEIGHT,
    Window,
    averaged_window,
    fake,
    hold,
    input_of,
    is_dequantizer,
    is_without_ties,
)

MEANS = (ATEN.avg_pool2d.default, ATEN.mean.dim)
_DECOMPOSED = torch.ops.quantized_decomposed


def average(graph: GraphModule, node: Node) -> None:
    """Rewrite `node`, one of `MEANS` between DQ and Q. A mean over the whole image is a convolution
    only where its scale was chosen for one.
    """
    x, window = input_of(node), averaged_window(node)
    if window is None or not window.uniform or not is_dequantizer(x):
        return
    whole = window.size == list(fake(x).shape[2:]) and not any(window.padding)
    with graph.graph.inserting_before(node):
        if not whole or is_without_ties(node):
            new = _as_convolution(graph, node, window)
            if fake(node).dim() < 4:
                shape = [int(size) for size in fake(node).shape]
                new = graph.graph.call_function(ATEN.view.default, (new, shape))
        elif node.target is ATEN.mean.dim:
            return
        else:
            new = graph.graph.call_function(ATEN.mean.dim, (x, [2, 3], True))
    node.replace_all_uses_with(new)


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
