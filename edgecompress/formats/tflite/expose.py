"""A copy of a quantised TFLite file that also gives its activations."""

from dataclasses import replace
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.formats.base import Activation, Exposed
from edgecompress.formats.tflite.file import describe
from edgecompress.formats.tflite.graph import Signature
from edgecompress.formats.tflite.ops import computes
from edgecompress.formats.tflite.reader import load
from edgecompress.formats.tflite.write import write


def expose(artifact: Artifact, path: Path) -> Exposed:
    """What each operator that computes puts out."""
    model = load(artifact.path)
    graph = model.graph
    outputs = [info.name for info in artifact.outputs]
    activations: list[Activation] = []
    for op in filter(computes, graph.operators):
        for tensor in op.outputs:
            if tensor.qparams is None or tensor.per_channel or tensor in graph.outputs:
                continue
            name = f"activation_{len(activations)}"
            graph.outputs.append(tensor)
            outputs.append(name)
            scale, zero_point = tensor.qparams.scale[0], tensor.qparams.zero_point[0]
            activations.append(Activation(tensor.name, name, float(scale), int(zero_point)))
    names = Signature(tuple(info.name for info in artifact.inputs), tuple(outputs))
    path.write_bytes(write(replace(model, signatures=[names])))
    return Exposed(describe(path), tuple(activations))
