"""The numbers that a TFLite file holds of its layers."""

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.formats.constants import Constant, Numbers, along, layer_of, path_of
from edgecompress.formats.tflite.graph import Tensor
from edgecompress.formats.tflite.ops import EIGHT_BIT, WEIGHTED
from edgecompress.formats.tflite.reader import load


def numbers_of(artifact: Artifact) -> Numbers:
    found, points = [], set()
    for op in load(artifact.path).graph.operators:
        if op.op_type not in WEIGHTED:
            continue
        data_at, weight_at, bias_at, _ = WEIGHTED[op.op_type]
        weight = _constant(op.inputs[weight_at])
        path = path_of(weight)
        if weight is None or path is None:
            continue
        bias = _constant(op.inputs[bias_at]) if len(op.inputs) > bias_at else None
        found.append(layer_of(path, weight, bias))
        for tensor in (op.inputs[data_at], op.outputs[0]):
            qparams = None if tensor is None else tensor.qparams
            if tensor is not None and qparams is not None and tensor.dtype in EIGHT_BIT:
                lowest = int(np.iinfo(tensor.dtype).min)
                points.add((np.float32(qparams.scale[0]), int(qparams.zero_point[0]) - lowest))
    return Numbers(tuple(found), frozenset(points))


def _constant(tensor: Tensor | None) -> Constant | None:
    if tensor is None or tensor.data is None:
        return None
    if tensor.qparams is None:
        return Constant(tensor.name, tensor.data.astype(np.float64), None)
    axis = None if tensor.qparams.scale.size == 1 else tensor.qparams.axis
    scale = along(tensor.qparams.scale, tensor.data.ndim, axis)
    zero_point = along(tensor.qparams.zero_point, tensor.data.ndim, axis)
    reals = (tensor.data.astype(np.float64) - zero_point) * scale
    return Constant(tensor.name, reals, np.broadcast_to(scale, reals.shape))
