"""Which type TensorRT would compute each operator of an ONNX file in, as far as the file says."""

from pathlib import Path

import onnx_ir as ir

from edgecompress.inspect.kinds import (
    ACTIVATIONS,
    CONVERSIONS,
    DEQUANTIZE,
    FLOATS,
    MOVES,
    QUANTIZE,
    WEIGHTED,
    compute_dtype,
    computes,
    dtype_name,
    family,
)
from edgecompress.inspect.macs import count
from edgecompress.inspect.onnx_file import KEEP_FLOAT_KEY, load, read_strings
from edgecompress.inspect.propagate import propagate
from edgecompress.inspect.reasons import KEPT, NOT_QUANTISED, is_kept
from edgecompress.inspect.tensorrt_graph import Release, int8_convolution, residual_addition
from edgecompress.inspect.tensorrt_rules import violations_of
from edgecompress.inspect.values import (
    all_nodes,
    is_constant,
    module_of,
    node_name,
    readers,
)
from edgecompress.spec.measurement import Inspection, Op

ANYWHERE = "any machine"
"""Instead of a machine: the list does not depend on where it is made."""

_INT8 = frozenset({
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Elu",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "LeakyRelu", "MatMul", "Max",
    "MaxPool", "Min", "Mul", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Resize", "Selu",
    "Sigmoid", "Sub", "Sum", "Tanh",
})  # fmt: skip
"""Operators whose layers fuse with the Q/DQ round them (onnx-tensorrt 8.4 docs/operators.md and
the support matrix: convolution, deconvolution, matrix product, element-wise, activation, pooling,
reduction, resize, concatenation)."""

_MOVES = MOVES - {"Cast", "CastLike"}


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
    listing = _Listing(path, model.graph, read_strings(path, model, KEEP_FLOAT_KEY))
    found = violations_of(model, release, sparse, dense)
    return Inspection(
        runtime=f"TensorRT {release[0]}.{release[1]} (by its rules; not run)",
        machine=ANYWHERE,
        ops=listing.ops(),
        violations=tuple(str(violation) for violation in found),
    )


class _Listing:
    """Types of the nodes of one graph, in order, so that each can look at those before it."""

    def __init__(self, path: Path, graph: ir.Graph, keep_float: tuple[str, ...]) -> None:
        self._path = path
        self._keep_float = keep_float
        self._nodes = [n for n in all_nodes(graph) if not all(map(is_constant, n.outputs))]
        self._quantised = any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in self._nodes)
        self._int8: set[ir.Node] = set()
        for node in self._nodes:
            if family(node) in _INT8 | _MOVES and self._why_float(node) is None:
                self._int8.add(node)
        self._after = self._reached(self._nodes)
        self._before = self._reached(self._nodes[::-1])

    def ops(self) -> tuple[Op, ...]:
        return tuple(self._op(node) for node in self._nodes if not self._taken_in(node))

    def _op(self, node: ir.Node) -> Op:
        converts = node.op_type in CONVERSIONS
        return Op(
            name=node_name(node),
            op_type=node.op_type,
            dtype=self._dtype(node),
            macs=count(self._path, node),
            reason=self._reason(node),
            module=module_of(node),
            between_compute=converts and node in self._after and node in self._before,
        )

    def _dtype(self, node: ir.Node) -> str:
        return "int8" if node in self._int8 else compute_dtype(node)

    def _reason(self, node: ir.Node) -> str | None:
        if node in self._int8 or self._dtype(node) not in FLOATS or node.op_type in MOVES:
            return None
        if node.op_type == QUANTIZE:
            return f"quantises what {_writer(node)} wrote in float"
        if node.op_type == DEQUANTIZE:
            return "hands floats on to an operator that is not int8, or to an output"
        if is_kept(node, self._keep_float):
            return KEPT
        return self._why_float(node) if self._quantised else NOT_QUANTISED

    def _why_float(self, node: ir.Node) -> str | None:
        """The first thing that keeps the node from int8; None where nothing does."""
        kind = family(node)
        if kind not in _INT8 | _MOVES:
            return f"TensorRT has no int8 kernel for {node.op_type}"
        for value in self._data_inputs(node):
            if not _dequantised(value) and not self._fuses(node, value):
                if is_constant(value):
                    what = "weights" if family(node) in WEIGHTED else "constant input"
                    return f"float {what} '{value.name}' (no DequantizeLinear feeds it)"
                return f"its input '{value.name}' is not quantised (no DequantizeLinear feeds it)"
        return None

    def _data_inputs(self, node: ir.Node) -> list[ir.Value]:
        """Those that hold floats, but no bias, and no limits of a Clip or sizes of a Resize."""
        count = {"Clip": 1, "Resize": 1, "Pad": 1}.get(node.op_type, len(node.inputs))
        count = 2 if family(node) in WEIGHTED else count
        given = [value for value in node.inputs[:count] if value is not None]
        return [value for value in given if dtype_name(value.dtype) in (*FLOATS, "unknown")]

    def _fuses(self, node: ir.Node, value: ir.Value) -> bool:
        """Whether an int8 operator right before it takes the node in, with no Q/DQ between."""
        source = value.producer()
        if source is None or source not in self._int8 or len(readers(value)) != 1:
            return False
        if node.op_type in ACTIVATIONS:
            return family(source) in WEIGHTED or source.op_type == "Add"
        return residual_addition(node) is not None and int8_convolution(value) is not None

    def _taken_in(self, node: ir.Node) -> bool:
        """Q behind an int8 operator and DQ before int8 operators only are no work of their own."""
        if node.op_type == QUANTIZE:
            source = node.inputs[0].producer() if node.inputs[0] is not None else None
            return source in self._int8 or (source is not None and source.op_type == DEQUANTIZE)
        if node.op_type != DEQUANTIZE or node.outputs[0].is_graph_output():
            return False
        reading = readers(node.outputs[0])
        return all(reader in self._int8 or reader.op_type == QUANTIZE for reader in reading)

    def _reached(self, ordered: list[ir.Node]) -> set[ir.Node]:
        """Nodes with a computing node on that side."""
        forward = ordered is self._nodes
        reached: set[ir.Node] = set()
        for node in ordered:
            around = node.predecessors() if forward else node.successors()
            if any(other in reached or computes(other, self._dtype(other)) for other in around):
                reached.add(node)
        return reached


def _dequantised(value: ir.Value) -> bool:
    """Whether a DequantizeLinear feeds it; the builder carries Q/DQ over operators that move."""
    source = value.producer()
    while source is not None and source.op_type in _MOVES and source.inputs[0] is not None:
        source = source.inputs[0].producer()
    return source is not None and source.op_type == DEQUANTIZE


def _writer(node: ir.Node) -> str:
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    return "the caller" if source is None else f"{source.op_type} '{node_name(source)}'"
