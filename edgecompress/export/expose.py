"""A copy of a quantised file that also gives its activations, to see where two files part."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import onnx
import onnx.shape_inference
import onnx_ir as ir

from edgecompress.artifact import Artifact, Format
from edgecompress.errors import ArtifactError, ModelError
from edgecompress.export.onnx_edit import array_of, only_reader, qparams_of
from edgecompress.inspect import describe, describe_tflite

MOVES = {"TRANSPOSE", "PAD", "PADV2", "RESHAPE", "QUANTIZE", "DEQUANTIZE", "SLICE", "SQUEEZE"}
"""TFLite operators whose outputs say nothing that their inputs do not."""


class Activation(NamedTuple):
    """A quantised tensor inside of a file, and the output that shows it in the copy."""

    layer: str
    output: str
    scale: float
    zero_point: int


class Exposed(NamedTuple):
    artifact: Artifact
    """The copy: first the file's own outputs, then an output for each activation."""
    activations: tuple[Activation, ...]
    """In the order in which they are computed."""


def expose(artifact: Artifact, path: Path) -> Exposed:
    """Write the copy to `path`.

    Raises:
        ArtifactError: the format is none that can be read, or nothing in the file is quantised.

    """
    write = _WRITERS.get(artifact.format)
    if write is None:
        known = ", ".join(_WRITERS)
        raise ArtifactError(
            f"{artifact.path}: {artifact.format} shows no activations; known: {known}"
        )
    exposed = write(artifact, path)
    if not exposed.activations:
        raise ArtifactError(f"{artifact.path}: nothing in it is quantised; compare int8 files")
    return exposed


def _onnx(artifact: Artifact, path: Path) -> Exposed:
    """What each QuantizeLinear puts out, after the Clip that may saturate it."""
    # Outputs need shapes, which exporters leave out inside of a graph.
    try:
        model = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load(artifact.path)))
    except Exception as error:  # the library's own types, of a file that breaks its rules
        raise ArtifactError(
            f"{artifact.path}: its shapes cannot be followed: {str(error)[:200]}; export it again"
        ) from None
    activations = []
    for node in model.graph:
        qparams = qparams_of(node) if node.op_type == "QuantizeLinear" else None
        if qparams is None or qparams.axis is not None or array_of(node.inputs[0]) is not None:
            continue
        if qparams.zero_point.size != 1:
            continue  # of another shape than its scale, which no kernel takes
        clip = only_reader(node.outputs[0], "Clip")
        value = node.outputs[0] if clip is None else clip.outputs[0]
        value.type = ir.TensorType(ir.DataType.from_numpy(qparams.zero_point.dtype))
        if not value.is_graph_output():
            model.graph.outputs.append(value)
        scale, zero_point = float(qparams.scale.item()), int(qparams.zero_point.item())
        activations.append(Activation(_maker(node), value.name or "", scale, zero_point))
    try:
        ir.save(model, path)
    except ir.serde.SerdeError:
        raise ArtifactError(
            f"{artifact.path}: has what cannot be written again; export it again"
        ) from None
    return Exposed(describe(path), tuple(activations))


def _maker(node: ir.Node) -> str:
    """The layer whose result a QuantizeLinear stores: past the ReLU, if there is one."""
    made = node.inputs[0].producer() if node.inputs[0] is not None else None
    while made is not None and made.op_type in ("Relu", "Clip") and made.inputs[0] is not None:
        made = made.inputs[0].producer()
    if made is None:
        return "input"
    return made.name or made.op_type


def _tflite(artifact: Artifact, path: Path) -> Exposed:
    """What each operator that computes puts out."""
    # Imports the schema of ai-edge-litert.
    from edgecompress.export.litert_file import read
    from edgecompress.export.litert_write import write

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
    return Exposed(describe_tflite(path), tuple(activations))


_WRITERS: dict[Format, Callable[[Artifact, Path], Exposed]] = {"onnx": _onnx, "tflite": _tflite}
