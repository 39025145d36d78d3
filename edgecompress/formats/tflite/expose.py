"""A copy of a quantised TFLite file that also gives its activations."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.formats.base import Activation, Exposed
from edgecompress.formats.provenance import identified
from edgecompress.formats.tflite.file import describe
from edgecompress.formats.tflite.graph import Operator, Signature, Tensor
from edgecompress.formats.tflite.ops import EIGHT_BIT, QUANTIZE, computes
from edgecompress.formats.tflite.reader import load
from edgecompress.formats.tflite.traced import Traced
from edgecompress.formats.tflite.write import write


def expose(artifact: Artifact, path: Path) -> Exposed:
    """What each operator that computes or quantises puts out."""
    model = load(artifact.path)
    graph = model.graph
    outputs = [info.name for info in artifact.outputs]
    activations: list[Activation] = []
    traced = Traced(graph)
    batch = graph.inputs[0].shape[:1] if graph.inputs else (1,)
    for op in graph.operators:
        traced.follow(op)
        for tensor in op.outputs if _makes_activations(op) else ():
            if not _is_activation(tensor) or tensor.shape[:1] != batch or tensor in graph.outputs:
                continue
            activation = _activation(tensor, f"activation_{len(activations)}", traced)
            activations.append(activation)
            graph.outputs.append(tensor)
            outputs.append(activation.output)
    names = Signature(tuple(info.name for info in artifact.inputs), tuple(outputs))
    path.write_bytes(write(replace(model, signatures=[names])))
    return Exposed(describe(path), tuple(activations))


def _makes_activations(op: Operator) -> bool:
    return computes(op) or op.op_type == QUANTIZE


def _is_activation(tensor: Tensor) -> bool:
    return tensor.qparams is not None and not tensor.per_channel and tensor.dtype in EIGHT_BIT


def _activation(tensor: Tensor, output: str, traced: Traced) -> Activation:
    assert tensor.qparams is not None
    scale, zero_point = float(tensor.qparams.scale[0]), int(tensor.qparams.zero_point[0])
    identity, number = None, 1
    if tensor in traced:
        info = np.iinfo(tensor.dtype)
        steps = (int(info.min) - zero_point, int(info.max) - zero_point)
        identity, number, after = identified(traced[tensor], (scale, zero_point), steps)
        traced.shown(tensor, after)
    return Activation(tensor.name, output, scale, zero_point, identity, number)
