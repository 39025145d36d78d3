"""A copy of a quantised TFLite file that also gives its activations."""

from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError, ModelError
from edgecompress.formats.base import Activation, Exposed
from edgecompress.formats.tflite.file import describe
from edgecompress.formats.tflite.graph import read
from edgecompress.formats.tflite.write import write

MOVES = {"TRANSPOSE", "PAD", "PADV2", "RESHAPE", "QUANTIZE", "DEQUANTIZE", "SLICE", "SQUEEZE"}
"""TFLite operators whose outputs say nothing that their inputs do not."""


def expose(artifact: Artifact, path: Path) -> Exposed:
    """What each operator that computes puts out."""
    try:
        graph = read(artifact.path.read_bytes())
    except ModelError as error:
        raise ArtifactError(f"{artifact.path}: {error}") from None
    except Exception as error:  # flatbuffers, struct and numpy have a dozen types for damage
        raise ArtifactError(
            f"{artifact.path}: its stored numbers cannot be read ({type(error).__name__}); export"
            " or copy it again"
        ) from None
    outputs = [info.name for info in artifact.outputs]
    activations: list[Activation] = []
    for op in graph.operators:
        for tensor in () if op.op_type in MOVES else op.outputs:
            if tensor.qparams is None or tensor.qparams.scale.size != 1 or tensor in graph.outputs:
                continue
            name = f"activation_{len(activations)}"
            graph.outputs.append(tensor)
            outputs.append(name)
            scale, zero_point = tensor.qparams.scale[0], tensor.qparams.zero_point[0]
            activations.append(Activation(tensor.name, name, float(scale), int(zero_point)))
    inputs = tuple(info.name for info in artifact.inputs)
    path.write_bytes(write(graph, inputs, tuple(outputs)))
    return Exposed(describe(path), tuple(activations))
