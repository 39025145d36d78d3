"""The numbers that an ONNX file holds of its layers."""

import numpy as np
import onnx_ir as ir

from edgecompress.artifact import Artifact
from edgecompress.formats.constants import Constant, Numbers, along, layer_of, path_of
from edgecompress.formats.onnx.edit import (
    array_of,
    dequantizer_before,
    input_at,
    qparams_of,
    quantizer_after,
)

_Q_AND_DQ = ("QuantizeLinear", "DequantizeLinear")
_WITH_BIAS = ("Conv", "ConvTranspose", "Gemm")


def numbers_of(artifact: Artifact) -> Numbers:
    found, points = [], set()
    # Whoever has an artifact has had its file checked, by onnx's own checker among others.
    for node in ir.traversal.RecursiveGraphIterator(ir.load(artifact.path).graph):
        if node.op_type not in _WITH_BIAS and node.op_type != "MatMul":
            continue
        weight = _constant(input_at(node, 1))
        path = path_of(weight)
        if weight is None or path is None:
            continue
        bias = _constant(input_at(node, 2)) if node.op_type in _WITH_BIAS else None
        found.append(layer_of(path, weight, bias))
        around = (dequantizer_before(node.inputs[0]), quantizer_after(node.outputs[0]))
        for qparams in (beside[1] for beside in around if beside is not None):
            lowest = int(np.iinfo(qparams.zero_point.dtype).min)
            points.add((np.float32(qparams.scale), int(qparams.zero_point) - lowest))
    return Numbers(tuple(found), frozenset(points))


def _constant(value: ir.Value | None) -> Constant | None:
    """What a value stands for, behind its Q and DQ."""
    qparams = None
    while value is not None and (node := value.producer()) is not None:
        if node.op_type not in (*_Q_AND_DQ, "Transpose"):
            return None
        if node.op_type in _Q_AND_DQ:
            qparams = qparams_of(node)
        value = node.inputs[0]
    array = array_of(value)
    if value is None or array is None:
        return None
    if qparams is None:
        return Constant(value.name or "", array.astype(np.float64), None)
    scale = along(qparams.scale, array.ndim, qparams.axis)
    zero_point = along(qparams.zero_point, array.ndim, qparams.axis)
    if array.dtype.kind == "f":
        # TensorRT 8 reads float weights behind their Q.
        array = np.rint(array.astype(np.float64) / scale) + zero_point
    reals = (array.astype(np.float64) - zero_point) * scale
    return Constant(value.name or "", reals, np.broadcast_to(scale, reals.shape))
