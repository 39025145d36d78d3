"""A small vocabulary for editing Q/DQ graphs with onnx-ir."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True)
class QParams:
    """Scale and zero point of one tensor; arrays [C] when they run along `axis`."""

    scale: Array
    zero_point: Array
    axis: int | None

    def same_as(self, other: "QParams") -> bool:
        return (
            self.scale.shape == other.scale.shape
            and bool((self.scale == other.scale).all())
            and bool((self.zero_point == other.zero_point).all())
            and self.zero_point.dtype == other.zero_point.dtype
        )

    @property
    def lowest(self) -> float:
        """The smallest real number that it can hold."""
        return float((np.iinfo(self.zero_point.dtype).min - int(self.zero_point)) * self.scale)

    @property
    def highest(self) -> float:
        return float((np.iinfo(self.zero_point.dtype).max - int(self.zero_point)) * self.scale)


class Editor:
    """Adds nodes and constants to one graph, with names that do not clash."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self._counter = 0

    def constant(self, array: Array, name: str = "constant") -> ir.Value:
        self._counter += 1
        tensor = ir.tensor(array, name=f"{name}_{self._counter}")
        value = ir.Value(
            name=tensor.name,
            const_value=tensor,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(array.shape),
        )
        self.graph.register_initializer(value)
        return value

    def before(
        self,
        place: ir.Node,
        op_type: str,
        inputs: list[ir.Value | None],
        attributes: dict[str, int | float | list[int]] | None = None,
    ) -> ir.Value:
        """A new node just before `place`; returns its output."""
        self._counter += 1
        node = ir.node(op_type, inputs, attributes or {})
        node.name = f"{place.name}_{op_type}_{self._counter}"
        node.outputs[0].name = f"{node.name}_out"
        node.metadata_props.update(place.metadata_props)
        self.graph.insert_before(place, node)
        return node.outputs[0]

    def quantized(self, place: ir.Node, x: ir.Value, qparams: QParams) -> ir.Value:
        """Q then DQ of `x` before `place`; returns the DQ's output."""
        scale = self.constant(qparams.scale, "scale")
        zero_point = self.constant(qparams.zero_point, "zero_point")
        q = self.before(place, "QuantizeLinear", [x, scale, zero_point])
        return self.before(place, "DequantizeLinear", [q, scale, zero_point])

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Every reader of `old`, the graph's outputs among them, reads `new` from now on."""
        old.replace_all_uses_with(new, replace_graph_outputs=True)

    def drop(self, node: ir.Node) -> None:
        self.graph.remove(node, safe=True)


def array_of(value: ir.Value | None) -> Array | None:
    """The content of a constant, else None."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def qparams_of(node: ir.Node) -> QParams | None:
    """Of a QuantizeLinear or DequantizeLinear with constant parameters."""
    scale, zero_point = array_of(node.inputs[1]), array_of(_input(node, 2))
    if scale is None or zero_point is None:
        return None
    axis = node.attributes.get("axis")
    return QParams(scale, zero_point, None if scale.size == 1 or axis is None else axis.as_int())


def producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that computes `value`, if it is of that kind."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == op_type else None


def only_reader(value: ir.Value, op_type: str) -> ir.Node | None:
    """The one node that reads `value`, if it is of that kind and no graph output is."""
    readers = [node for node, _ in value.uses()]
    if len(readers) != 1 or value.is_graph_output() or readers[0].op_type != op_type:
        return None
    return readers[0]


def quantizer_after(value: ir.Value) -> tuple[ir.Node, QParams] | None:
    """The QuantizeLinear that alone reads `value`."""
    node = only_reader(value, "QuantizeLinear")
    qparams = None if node is None else qparams_of(node)
    return None if node is None or qparams is None else (node, qparams)


def dequantizer_before(value: ir.Value | None) -> tuple[ir.Node, QParams] | None:
    """The per-tensor DequantizeLinear that `value` comes from."""
    node = producer(value, "DequantizeLinear")
    qparams = None if node is None else qparams_of(node)
    return None if node is None or qparams is None else (node, qparams)


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None
