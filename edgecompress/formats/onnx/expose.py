"""A copy of a quantised ONNX file that also gives its activations."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx.shape_inference import InferenceError, infer_shapes

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError
from edgecompress.formats.base import Activation, Exposed
from edgecompress.formats.onnx.edit import QParams, qparams_of
from edgecompress.formats.onnx.file import describe, load
from edgecompress.formats.onnx.traced import RESHAPING, Traced
from edgecompress.formats.onnx.values import readers
from edgecompress.formats.provenance import identified


def expose(artifact: Artifact, path: Path) -> Exposed:
    """What each QuantizeLinear puts out, after the Clip that may saturate it. Where the batch is
    free the copy takes one sample, so that of all shapes it is known whether they begin with it.
    """
    original = load(artifact.path)
    for taken in original.graph.inputs:
        if taken.shape and not isinstance(taken.shape[0], int):
            taken.shape = ir.Shape([1, *taken.shape[1:]])
    proto = ir.to_proto(original)
    # Outputs need shapes, which exporters leave out inside of a graph.
    try:
        model = ir.from_proto(infer_shapes(proto))
    except (InferenceError, RuntimeError, ValueError) as error:
        raise ArtifactError(
            f"{artifact.path}: its shapes cannot be followed: {str(error)[:200]}; export it again"
        ) from None
    activations = _Shower(model.graph).activations()
    try:
        ir.save(model, path)
    except ir.serde.SerdeError:
        raise ArtifactError(
            f"{artifact.path}: has what cannot be written again; export it again"
        ) from None
    return Exposed(describe(path), activations)


class _Shower:
    """Makes outputs of the activations of one graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._traced = Traced(graph)
        self._batch = graph.inputs[0].shape[0] if graph.inputs and graph.inputs[0].shape else 1

    def activations(self) -> tuple[Activation, ...]:
        """In the order of execution."""
        found = []
        shown: dict[ir.Value, tuple[ir.Node, QParams]] = {}
        for node in self._graph:
            self._traced.follow(node)
            qparams = qparams_of(node) if node.op_type == "QuantizeLinear" else None
            if qparams is not None and self._is_activation(node, qparams):
                shown[self._end(node.outputs[0])] = node, qparams
            for value in node.outputs:
                if value in shown and value.shape and value.shape[0] == self._batch:
                    found.append(self._activation(value, *shown[value]))
        return tuple(found)

    def _is_activation(self, node: ir.Node, qparams: QParams) -> bool:
        """Whether it stores numbers of the model's data, that were not stored so before."""
        data = node.inputs[0]
        if data is None or data not in self._traced:
            return False
        if qparams.axis is not None or qparams.zero_point.size != 1:
            return False  # or the zero point is of another shape than the scale
        held = (float(qparams.scale.item()), int(qparams.zero_point.item()))
        return self._traced[data].held != held

    def _end(self, value: ir.Value) -> ir.Value:
        """What it is once it is saturated, in a shape that begins with the batch."""
        end, at = value, value
        while not at.is_graph_output() and len(reading := readers(at)) == 1:
            (node,) = reading
            if node.op_type not in (*RESHAPING, "Clip") or node.inputs[0] is not at:
                break
            at = node.outputs[0]
            if node.op_type == "Clip" or (end.shape and end.shape[0] != self._batch):
                end = at
        return end

    def _activation(self, value: ir.Value, node: ir.Node, qparams: QParams) -> Activation:
        value.type = ir.TensorType(ir.DataType.from_numpy(qparams.zero_point.dtype))
        if not value.is_graph_output():
            self._graph.outputs.append(value)
        scale, zero_point = float(qparams.scale.item()), int(qparams.zero_point.item())
        info = np.iinfo(qparams.zero_point.dtype)
        steps = (int(info.min) - zero_point, int(info.max) - zero_point)
        identity, number, after = identified(self._traced[value], (scale, zero_point), steps)
        self._traced.shown(value, after)
        return Activation(_maker(node), value.name or "", scale, zero_point, identity, number)


def _maker(node: ir.Node) -> str:
    """The layer whose result a QuantizeLinear stores: past the ReLU, if there is one."""
    made = node.inputs[0].producer() if node.inputs[0] is not None else None
    while made is not None and made.op_type in ("Relu", "Clip") and made.inputs[0] is not None:
        made = made.inputs[0].producer()
    if made is None:
        return "input"
    return made.name or made.op_type
