"""A copy of a quantised ONNX file that also gives its activations."""

from pathlib import Path

import onnx_ir as ir
from onnx.shape_inference import InferenceError, infer_shapes

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError
from edgecompress.formats.base import Activation, Exposed
from edgecompress.formats.onnx.edit import array_of, only_reader, qparams_of
from edgecompress.formats.onnx.file import describe, load


def expose(artifact: Artifact, path: Path) -> Exposed:
    """What each QuantizeLinear puts out, after the Clip that may saturate it."""
    proto = ir.to_proto(load(artifact.path))
    # Outputs need shapes, which exporters leave out inside of a graph.
    try:
        model = ir.from_proto(infer_shapes(proto))
    except (InferenceError, RuntimeError, ValueError) as error:
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
