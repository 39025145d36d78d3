"""Files whose integers do not depend on how a kernel rounds: what `compress.requantize` chose
scales for, in the form that fixed-point kernels need. Run after all other rewrites.
"""

import math
from dataclasses import replace

import numpy as np

from edgecompress.compress.requantize import LARGEST_MEAN, MEAN_WEIGHT
from edgecompress.export.litert_file import Graph, Operator, Tensor, integers_of, like
from edgecompress.export.litert_kernels import WEIGHTED
from edgecompress.export.litert_scales import mean_of_windows
from edgecompress.export.litert_transposes import reshape

_LARGEST_HALF = 63
_FLOAT32 = 2.0**-22


def round_alike(graph: Graph) -> None:
    """In place."""
    _double_weights(graph)
    for op in list(graph.operators):
        _mean_in_convolution(graph, op)


def _double_weights(graph: Graph) -> None:
    """7-bit weights as even 8-bit ones, at half the scale: the same numbers, but fixed-point
    kernels, which round twice, then round as all others do (`compress.requantize` says why).
    """
    doubled: dict[Tensor, Tensor] = {}
    for op in graph.operators:
        if op.op_type not in WEIGHTED:
            continue
        _, weight_at, bias_at, _ = WEIGHTED[op.op_type]
        weight = op.inputs[weight_at]
        bias = op.inputs[bias_at] if len(op.inputs) > bias_at else None
        if not _is_half(weight) or (bias is not None and bias.data is None):
            continue
        for place in (weight_at, bias_at)[: 1 if bias is None else 2]:
            op.inputs[place] = _doubled(op.inputs[place], doubled)


def _is_half(weight: Tensor | None) -> bool:
    if weight is None or weight.data is None or weight.dtype != "int8":
        return False
    return int(np.abs(weight.data.astype(np.int16)).max(initial=0)) <= _LARGEST_HALF


def _doubled(tensor: Tensor | None, doubled: dict[Tensor, Tensor]) -> Tensor:
    assert tensor is not None
    assert tensor.data is not None
    assert tensor.qparams is not None
    if tensor not in doubled:
        halved = replace(tensor.qparams, scale=tensor.qparams.scale / np.float32(2))
        data = tensor.data * tensor.data.dtype.type(2)
        doubled[tensor] = replace(tensor, data=data, qparams=halved)
    return doubled[tensor]


def _mean_in_convolution(graph: Graph, op: Operator) -> None:
    """MEAN of an image at a scale that was chosen so that a convolution rounds it in fixed point as
    all kernels do in float.
    """
    if op.op_type != "MEAN" or op.data.dtype != "int8" or integers_of(op.inputs[1]) != [1, 2]:
        return
    x, output = op.data, op.outputs[0]
    if len(x.shape) != 4 or x.qparams is None or output.qparams is None:
        return
    positions = math.prod(x.shape[1:3])
    per_step = float(output.qparams.scale[0]) / float(x.qparams.scale[0]) * MEAN_WEIGHT * positions
    odd = round(per_step)
    if positions > LARGEST_MEAN or odd % 2 == 0 or abs(per_step / odd - 1) > _FLOAT32:
        return
    whole = like(output, f"{output.name}/whole", (1, 1, 1, x.shape[3]))
    place = graph.operators.index(op)
    graph.operators[place] = mean_of_windows(x, [whole], x.shape[1:3])
    graph.operators.insert(place + 1, reshape(whole, output))
