"""What each tensor of a TFLite graph is computed of."""

from collections import Counter
from math import inf

import numpy as np

from edgecompress.formats import provenance
from edgecompress.formats.constants import weighted_layer
from edgecompress.formats.provenance import Provenance
from edgecompress.formats.tflite.graph import Graph, Operator, Tensor
from edgecompress.formats.tflite.ops import ACTIVATIONS, CONVERSIONS, MOVES, WEIGHTED, weights

RESHAPING = frozenset({"CAST", "EXPAND_DIMS", "RESHAPE", "SQUEEZE"})
"""Operators that keep the order of all numbers."""
LIMITS = {
    "RELU": (0.0, inf),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
    "RELU6": (0.0, 6.0),
}
_KINDS = {"BATCH_MATMUL": "matmul", "CONCATENATION": "concat"}
"""Operators of several inputs that ONNX calls otherwise."""


class Traced:
    """The provenance of tensors, found operator by operator in the order of execution."""

    def __init__(self, graph: Graph) -> None:
        self._known = {
            tensor: provenance.of_input(place) for place, tensor in enumerate(graph.inputs)
        }
        self._calls = Counter(map(_path, graph.operators))

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._known

    def __getitem__(self, tensor: Tensor) -> Provenance:
        return self._known[tensor]

    def shown(self, tensor: Tensor, after: Provenance) -> None:
        """From here on `tensor` is known as an activation."""
        self._known[tensor] = after

    def follow(self, op: Operator) -> None:
        """Look at the next operator."""
        data = [tensor for tensor in op.inputs if tensor is not None and tensor in self._known]
        if not data:
            return  # it follows from constants
        result = self._fused(op, self._result(op, [self._known[tensor] for tensor in data]))
        for tensor in op.outputs:
            self._known[tensor] = result

    def _result(self, op: Operator, inputs: list[Provenance]) -> Provenance:
        first = inputs[0]
        if op.op_type in CONVERSIONS or op.op_type in RESHAPING:
            return first
        if op.op_type in MOVES and len(inputs) == 1:
            return provenance.rearranged(first)
        if op.op_type in LIMITS:
            return provenance.clipped(first, *LIMITS[op.op_type])
        if op.op_type in WEIGHTED and len(inputs) == 1 and not _averages(op):
            path = _path(op)
            named = path or op.outputs[0].name
            return provenance.of_layer(named, first, alone=self._calls[path] == 1)
        return provenance.computed(_KINDS.get(op.op_type, op.op_type.lower()), inputs)

    def _fused(self, op: Operator, result: Provenance) -> Provenance:
        """With the activation function that is part of the operator."""
        number = op.option("fusedActivationFunction")
        function = ACTIVATIONS[number] if 0 <= number < len(ACTIVATIONS) else f"function {number}"
        if function in LIMITS:
            return provenance.clipped(result, *LIMITS[function])
        return result if function == "NONE" else provenance.computed(function.lower(), [result])


def _path(op: Operator) -> str | None:
    """Where the layer is in the user's model; None for what is none."""
    weight = weights(op)
    return None if weight is None else weighted_layer(weight.name)


def _averages(op: Operator) -> bool:
    """Whether it is a mean, which an exporter wrote as a convolution whose weights are alike."""
    weight = weights(op)
    if op.op_type != "DEPTHWISE_CONV_2D" or _path(op) is not None:
        return False
    return weight is not None and weight.data is not None and np.ptp(weight.data) == 0
