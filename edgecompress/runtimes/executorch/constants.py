"""The numbers that a .pte holds of its layers."""

import numpy as np
from numpy.typing import NDArray

from edgecompress.artifact import Artifact
from edgecompress.formats.constants import Constant, Numbers, along, layer_of
from edgecompress.runtimes.executorch.model import Tensor
from edgecompress.runtimes.executorch.ops import WEIGHTED
from edgecompress.runtimes.executorch.program import load

_LOWEST = -128


def numbers_of(artifact: Artifact) -> Numbers:
    """The numbers of XNNPACK's layers. Portable kernels' weights are float, and not read."""
    found, points = [], set()
    for node in load(artifact.path).nodes:
        if node.op_type not in WEIGHTED or not node.module:
            continue
        weight = _constant(node.inputs[1])
        if weight is None:
            continue
        bias = _constant(node.inputs[2]) if len(node.inputs) > 2 else None
        found.append(layer_of(node.module, weight, bias))
        for tensor in (node.inputs[0], node.outputs[0]):
            if tensor.dtype == "int8" and len(tensor.scales) == 1:
                points.add((np.float32(tensor.scales[0]), tensor.zero_point - _LOWEST))
    return Numbers(tuple(found), frozenset(points))


def _constant(tensor: Tensor) -> Constant | None:
    if tensor.content is None or tensor.dtype not in ("int8", "int32", "float32"):
        return None
    stored = np.frombuffer(tensor.content, np.dtype(tensor.dtype))
    if stored.size != np.prod(tensor.shape, dtype=np.int64):
        return None
    values: NDArray[np.float64] = stored.reshape(tensor.shape).astype(np.float64)
    if not tensor.scales:
        return Constant(tensor.name, values, None)
    axis = None if len(tensor.scales) == 1 else tensor.axis
    scale = along(np.asarray(tensor.scales), values.ndim, axis)
    reals = (values - tensor.zero_point) * scale
    return Constant(tensor.name, reals, np.broadcast_to(scale, reals.shape))
