"""Which type TensorRT would compute each operator of an ONNX file in, as far as the file says."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgecompress.formats.kept import NOT_QUANTISED
from edgecompress.formats.metadata import read_kept
from edgecompress.formats.onnx.dtypes import compute_dtype, computes, dtype_name
from edgecompress.formats.onnx.file import load
from edgecompress.formats.onnx.kept import why_kept
from edgecompress.formats.onnx.kinds import (
    ACTIVATIONS,
    CONVERSIONS,
    DEQUANTIZE,
    FLOATS,
    MOVES,
    QUANTIZE,
    WEIGHTED,
    family,
)
from edgecompress.formats.onnx.macs import count
from edgecompress.formats.onnx.propagate import propagate
from edgecompress.formats.onnx.values import (
    all_nodes,
    constant,
    is_constant,
    module_of,
    node_name,
    readers,
)
from edgecompress.runtimes.listing import reached
from edgecompress.runtimes.tensorrt.graph import Release, int8_convolution, residual_addition
from edgecompress.runtimes.tensorrt.rules import violations_of
from edgecompress.spec.measurement import Inspection, Op

ANYWHERE = "any machine"
"""Instead of a machine: the list does not depend on where it is made."""

_INT8 = frozenset({
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Div", "Elu",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "LeakyRelu", "MatMul", "Max",
    "MaxPool", "Min", "Mul", "PRelu", "Pow", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "Relu", "Selu", "Sigmoid", "Softplus", "Sub", "Sum", "Tanh", "Where",
})  # fmt: skip
"""Families whose layers take in the Q/DQ round them (onnx-tensorrt 9.2, docs/operators.md, which
lists int8 by operator; Softmax left out, as 8.x and 10.15 have none)."""

_MOVES = MOVES - {"Cast", "CastLike"}
_DATA = {"Clip": 1, "Pad": 1, "Resize": 1}
"""How many inputs hold data, where others are floats too."""


def inspect_tensorrt(
    path: Path, release: Release, sparse: bool = False, dense: tuple[str, ...] = ()
) -> Inspection:
    """List every operator with the type that the Q/DQ round it ask for, and where float, why.

    Nothing is built or run: TensorRT chooses kernels on the board and may do otherwise. Weights'
    Q/DQ are left out, as the builder folds them; so are Q and DQ that int8 operators take in.

    Args:
        path: an ONNX file.
        release: major and minor version of TensorRT, whose rules fill `violations`.
        sparse: whether weights must be 2:4.
        dense: with `sparse`, torch modules whose weights the recipe leaves as they are.

    Raises:
        ArtifactError: the file is unreadable, or its MACs cannot be counted.

    """
    model = load(path)
    propagate(model)
    listing = _Listing(path, model.graph, read_kept(path, model.metadata_props))
    found = violations_of(model, release, sparse, dense)
    return Inspection(
        runtime=f"TensorRT {release[0]}.{release[1]} (by its rules; not run)",
        machine=ANYWHERE,
        ops=listing.ops(),
        violations=tuple(str(violation) for violation in found),
    )


def float_nodes(model: ir.Model) -> frozenset[str]:
    """Names of the nodes that would compute in float32; `model` stays as it is."""
    copy = ir.from_proto(ir.to_proto(model))
    propagate(copy)
    types = _Types(copy.graph)
    return frozenset(
        node.name
        for node in types.nodes
        if node.name and types.dtype(node) == "float32" and computes(node, "float32")
    )


class _Types:
    """Types of the nodes of one graph, in order, so that each can look at those before it."""

    def __init__(self, graph: ir.Graph) -> None:
        self.nodes = [n for n in all_nodes(graph) if not all(map(is_constant, n.outputs))]
        self._int8: set[ir.Node] = set()
        for node in self.nodes:
            if family(node) in _INT8 | _MOVES and self.why_float(node) is None:
                self._int8.add(node)

    def dtype(self, node: ir.Node) -> str:
        return "int8" if node in self._int8 else compute_dtype(node)

    def computes(self, node: ir.Node) -> bool:
        return computes(node, self.dtype(node))

    def why_float(self, node: ir.Node) -> str | None:
        """The first thing that keeps the node from int8; None where nothing does."""
        if family(node) not in _INT8 | _MOVES:
            return f"TensorRT has no int8 kernel for {node.op_type}"
        for value in _data_inputs(node):
            if _dequantised(value) or self._fuses(node, value):
                continue
            if is_constant(value):
                what = "weights" if family(node) in WEIGHTED else "constant input"
                return f"float {what} '{value.name}' (no DequantizeLinear feeds it)"
            return f"its input '{value.name}' is not quantised (no DequantizeLinear feeds it)"
        return None

    def taken_in(self, node: ir.Node) -> bool:
        """Q behind an int8 operator and DQ before int8 operators only are no work of their own."""
        if node.op_type == QUANTIZE:
            source = node.inputs[0].producer() if node.inputs[0] is not None else None
            return source in self._int8 or (source is not None and source.op_type == DEQUANTIZE)
        if node.op_type != DEQUANTIZE or node.outputs[0].is_graph_output():
            return False
        reading = readers(node.outputs[0])
        return all(reader in self._int8 or reader.op_type == QUANTIZE for reader in reading)

    def _fuses(self, node: ir.Node, value: ir.Value) -> bool:
        """Whether an int8 operator right before it takes the node in, with no Q/DQ between."""
        if is_constant(value):
            return node.op_type == "Add" and any(
                self._is_product(other) for other in node.inputs if other is not value
            )
        if node.op_type in _MOVES:
            return self._alone(value) and _quantised_after(node)
        if node.op_type in ACTIVATIONS:
            source = value.producer()
            added = source is not None and source.op_type == "Add" and self._alone(value)
            return added or self._is_product(value)
        if node.op_type != "Add":
            return False
        if any(other is not value and is_constant(other) for other in node.inputs):
            return self._is_product(value)
        return residual_addition(node) is not None and int8_convolution(value) is not None

    def _is_product(self, value: ir.Value | None) -> bool:
        source = value.producer() if value is not None and self._alone(value) else None
        return source is not None and family(source) in WEIGHTED

    def _alone(self, value: ir.Value) -> bool:
        """Whether an int8 operator wrote it for one reader."""
        return value.producer() in self._int8 and len(readers(value)) == 1


class _Listing:
    """Turns the nodes of one graph into Ops."""

    def __init__(self, path: Path, graph: ir.Graph, kept: Mapping[str, str]) -> None:
        self._path = path
        self._kept = kept
        self._types = types = _Types(graph)
        self._quantised = any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in types.nodes)
        self._after = reached(types.nodes, ir.Node.predecessors, types.computes)
        self._before = reached(types.nodes[::-1], ir.Node.successors, types.computes)

    def ops(self) -> tuple[Op, ...]:
        types = self._types
        return tuple(self._op(node) for node in types.nodes if not types.taken_in(node))

    def _op(self, node: ir.Node) -> Op:
        converts = node.op_type in CONVERSIONS
        return Op(
            name=node_name(node),
            op_type=node.op_type,
            dtype=self._types.dtype(node),
            macs=count(self._path, node),
            reason=self._reason(node),
            module=module_of(node),
            between_compute=converts and node in self._after and node in self._before,
        )

    def _reason(self, node: ir.Node) -> str | None:
        dtype = self._types.dtype(node)
        if dtype not in FLOATS or node.op_type in MOVES:
            return None
        if node.op_type == QUANTIZE:
            return f"quantises what {_writer(node)} wrote in float"
        if node.op_type == DEQUANTIZE:
            return "hands floats on to an operator that is not int8, or to an output"
        if (kept := why_kept(node, self._kept)) is not None:
            return kept
        if not self._quantised:
            return NOT_QUANTISED
        reason = self._types.why_float(node)
        large = _beyond_float16(node) if dtype == "float32" else None
        return reason if large is None else f"{reason}; {large:.3g} does not fit float16"


def _data_inputs(node: ir.Node) -> list[ir.Value]:
    """Those that hold floats, but no bias, and no limits of a Clip or sizes of a Resize."""
    first = 2 if family(node) in WEIGHTED else _DATA.get(node.op_type, len(node.inputs))
    given = [value for value in node.inputs[:first] if value is not None]
    return [value for value in given if dtype_name(value.dtype) in (*FLOATS, "unknown")]


def _beyond_float16(node: ir.Node) -> float | None:
    """The first number among a node's constants that float16 cannot hold."""
    for value in node.inputs:
        array = constant(value)
        if array is not None and array.dtype == np.float32:
            large = array[np.isfinite(array) & (np.abs(array) > np.finfo(np.float16).max)]
            if large.size:
                return float(large[0])
    return None


def _dequantised(value: ir.Value) -> bool:
    """Whether a DequantizeLinear feeds it; the builder carries Q/DQ over operators that move."""
    source = value.producer()
    while source is not None and source.op_type in _MOVES and source.inputs[0] is not None:
        source = source.inputs[0].producer()
    return source is not None and source.op_type == DEQUANTIZE


def _quantised_after(node: ir.Node) -> bool:
    """Whether all that it writes is quantised; the builder carries Q back over moves."""
    reading = [reader for output in node.outputs for reader in readers(output)]
    if not reading or any(output.is_graph_output() for output in node.outputs):
        return False
    return all(
        reader.op_type == QUANTIZE or (reader.op_type in _MOVES and _quantised_after(reader))
        for reader in reading
    )


def _writer(node: ir.Node) -> str:
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    return "the caller" if source is None else f"{source.op_type} '{node_name(source)}'"
