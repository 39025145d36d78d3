"""What each value of an ONNX graph is computed of."""

from collections import Counter
from math import inf, isfinite

import onnx_ir as ir

from edgecompress.formats import provenance
from edgecompress.formats.constants import weighted_layer
from edgecompress.formats.onnx.edit import QParams, array_of, input_at, qparams_of
from edgecompress.formats.onnx.kinds import DEQUANTIZE, MOVES, QUANTIZE, WEIGHTED, family
from edgecompress.formats.onnx.layers import weight_name
from edgecompress.formats.provenance import Provenance

RESHAPING = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that keep the order of all numbers."""
_Q_AND_DQ = (QUANTIZE, DEQUANTIZE)


class Traced:
    """The provenance of values, found node by node in the order of execution."""

    def __init__(self, graph: ir.Graph) -> None:
        self._known = {
            value: provenance.of_input(place) for place, value in enumerate(graph.inputs)
        }
        self._integers: dict[ir.Value, QParams] = {}
        self._calls = Counter(map(_path, graph))

    def __contains__(self, value: ir.Value) -> bool:
        return value in self._known

    def __getitem__(self, value: ir.Value) -> Provenance:
        return self._known[value]

    def follow(self, node: ir.Node) -> None:
        """Look at the next node."""
        data = [value for value in node.inputs if value is not None and value in self._known]
        if not data:
            return  # it follows from constants
        result = self._result(node, data)
        qparams = _per_tensor(node) if node.op_type == QUANTIZE else self._integers.get(data[0])
        for value in node.outputs:
            self._known[value] = result
            if qparams is not None and node.op_type != DEQUANTIZE:
                self._integers[value] = qparams

    def shown(self, value: ir.Value, after: Provenance) -> None:
        """From here on `value` is known as an activation."""
        self._known[value] = after

    def _result(self, node: ir.Node, data: list[ir.Value]) -> Provenance:
        inputs = [self._known[value] for value in data]
        first = inputs[0]
        if node.op_type in _Q_AND_DQ:
            return _converted(node, first)
        if node.op_type in RESHAPING:
            return first
        if node.op_type in MOVES and len(data) == 1:
            return provenance.rearranged(first)
        if node.op_type in ("Relu", "Clip"):
            return self._clipped(node, data[0])
        if family(node) in WEIGHTED and len(data) == 1:
            path = _path(node)
            named = node.name or node.outputs[0].name or node.op_type
            return provenance.of_layer(path or named, first, alone=self._calls[path] == 1)
        if _adds_bias(node, first):
            return provenance.biased(first)
        return provenance.computed(family(node).lower(), inputs)

    def _clipped(self, node: ir.Node, value: ir.Value) -> Provenance:
        low, high = 0.0, inf
        if node.op_type == "Clip":
            low, high = _limit(node, 1, -inf), _limit(node, 2, inf)
        qparams = self._integers.get(value)
        if qparams is not None:  # it clips integers
            low, high = ((x - int(qparams.zero_point)) * float(qparams.scale) for x in (low, high))
        held = self._known[value].held
        clipped = provenance.clipped(self._known[value], low, high)
        return clipped if qparams is None or held is None else provenance.stored(clipped, held)


def _converted(node: ir.Node, data: Provenance) -> Provenance:
    qparams = _per_tensor(node)
    if qparams is None:
        return provenance.biased(data)
    return provenance.stored(data, (float(qparams.scale.item()), int(qparams.zero_point.item())))


def _per_tensor(node: ir.Node) -> QParams | None:
    qparams = qparams_of(node)
    if qparams is None or qparams.axis is not None or qparams.zero_point.size != 1:
        return None
    return qparams


def _limit(node: ir.Node, place: int, default: float) -> float:
    array = array_of(input_at(node, place))
    if array is None or array.size != 1 or not isfinite(array.item()):
        return default
    return float(array.item())


def _path(node: ir.Node) -> str | None:
    """Where the layer is in the user's model; None for what is none."""
    if family(node) not in WEIGHTED or len(node.inputs) < 2:
        return None
    return weighted_layer(weight_name(node.inputs[1]))


def _adds_bias(node: ir.Node, data: Provenance) -> bool:
    """Whether it is the bias of the layer right before it."""
    if node.op_type != "Add" or data.without_bias is None:
        return False
    names = (value.name or "" for value in node.inputs if value is not None)
    return any(name.startswith(f"{data.without_bias}.bias") for name in names)
