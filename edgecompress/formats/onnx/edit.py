"""A small vocabulary for editing Q/DQ graphs with onnx-ir."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass

Array = NDArray[np.generic]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class QParams:
    """Scale and zero point of one tensor; arrays [C] when they run along `axis`."""

    scale: NDArray[np.floating[Any]]
    zero_point: Integers
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

    def holds(self, number: float) -> bool:
        """Whether it is stored without saturating."""
        half = float(self.scale) / 2
        return self.lowest - half <= number <= self.highest + half

    def integer(self, number: float) -> Integers:
        """What `number` is stored as."""
        info = np.iinfo(self.zero_point.dtype)
        ratio = np.clip(number / float(self.scale), info.min - info.max, info.max - info.min)
        value = np.clip(np.round(ratio) + int(self.zero_point), info.min, info.max)
        return np.array(value, self.zero_point.dtype)


class Editor:
    """Adds nodes and constants to one graph, with names that do not clash."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self._counter = 0

    def constant(self, array: Array, name: str = "constant") -> ir.Value:
        while True:
            self._counter += 1
            unique = f"{name}_{self._counter}"
            if unique not in self.graph.initializers:
                break
        tensor = ir.tensor(array, name=unique)
        value = ir.Value(
            name=unique,
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

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Every reader of `old` reads `new` from now on; as an output it keeps its name."""
        if old.is_graph_output():
            new.name, old.name = old.name, f"{old.name}_before"
            new.shape, new.type = old.shape, old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)


Rewrite = Callable[[Editor, ir.Node], None]
"""Looks at one node, and changes what is round it."""


def apply(
    model: ir.Model, rewrites: Iterable[Rewrite], backwards: Collection[Rewrite] = ()
) -> None:
    """One after the other, each for every node in order; for those in `backwards`, from the end."""
    for rewrite in rewrites:
        editor = Editor(model)
        nodes = list(model.graph)
        for node in reversed(nodes) if rewrite in backwards else nodes:
            rewrite(editor, node)
        RemoveUnusedNodesPass()(model)


def finish(model: ir.Model) -> None:
    """What was replaced leaves nothing behind, and each node comes after those that it reads."""
    IdentityEliminationPass()(model)
    model.graph.sort()


def array_of(value: ir.Value | None) -> Array | None:
    """The content of a constant, else None."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def integers_of(value: ir.Value | None) -> list[int] | None:
    """The content of a constant of whole numbers, such as axes, else None."""
    array = array_of(value)
    return None if array is None else [int(number) for number in array.reshape(-1).tolist()]


def dims_of(value: ir.Value | None) -> list[int | None] | None:
    """The shape, None for each dimension that is free; None where the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return [dim if isinstance(dim, int) else None for dim in value.shape]


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def number_in(node: ir.Node, attribute: str, default: int = 0) -> int:
    """An integer attribute."""
    found = node.attributes.get(attribute)
    return default if found is None else found.as_int()


def cuts_of(node: ir.Node) -> list[tuple[int, ...]]:
    """(start, end, axis, step) of each axis that a Slice cuts; empty where that is not known."""
    starts, ends = integers_of(input_at(node, 1)), integers_of(input_at(node, 2))
    rank = len(dims_of(node.inputs[0]) or ())
    if not starts or not ends or not rank:
        return []
    axes, steps = input_at(node, 3), input_at(node, 4)
    along = list(range(len(starts))) if axes is None else integers_of(axes)
    by = [1] * len(starts) if steps is None else integers_of(steps)
    if along is None or by is None:
        return []
    return list(zip(starts, ends, [axis % rank for axis in along], by, strict=True))


def qparams_of(node: ir.Node) -> QParams | None:
    """What a QuantizeLinear or DequantizeLinear has, where its parameters are constant."""
    scale, zero_point = array_of(node.inputs[1]), array_of(input_at(node, 2))
    if scale is None or zero_point is None:
        return None
    axis = None if scale.size == 1 else number_in(node, "axis", 1)
    return QParams(scale.astype(np.float32), zero_point.astype(zero_point.dtype), axis)


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
    """The per-tensor QuantizeLinear that alone reads `value`."""
    return _per_tensor(only_reader(value, "QuantizeLinear"))


def dequantizer_before(value: ir.Value | None) -> tuple[ir.Node, QParams] | None:
    """The per-tensor DequantizeLinear that `value` comes from."""
    return _per_tensor(producer(value, "DequantizeLinear"))


def _per_tensor(node: ir.Node | None) -> tuple[ir.Node, QParams] | None:
    qparams = None if node is None else qparams_of(node)
    if node is None or qparams is None or qparams.axis is not None:
        return None
    return node, qparams
