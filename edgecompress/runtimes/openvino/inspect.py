"""The proof, primitive by primitive, of the types that OpenVINO computes a file in."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import onnx_ir as ir

from edgecompress.formats.kept import NOT_QUANTISED
from edgecompress.formats.metadata import read_kept
from edgecompress.formats.onnx.file import load
from edgecompress.formats.onnx.kinds import CONVERSIONS, FLOATS, family
from edgecompress.formats.onnx.macs import count
from edgecompress.formats.onnx.propagate import propagate
from edgecompress.formats.onnx.values import all_nodes, is_constant, module_of, node_name
from edgecompress.runtimes.listing import reached
from edgecompress.runtimes.openvino.executed import Graph, Node, Part
from edgecompress.runtimes.openvino.origins import Origins
from edgecompress.runtimes.openvino.reasons import Setting, why_float
from edgecompress.spec.measurement import Inspection, Op

MULTIPLYING = {
    "Convolution": "Conv",
    "Deconvolution": "ConvTranspose",
    "FullyConnected": "MatMul",
    "MatMul": "MatMul",
    "RNNCell": "RNN",
    "RNNSeq": "RNN",
}
"""Primitives that multiply, and the family of operators that they are made of."""
FUSED = "Subgraph"
"""A primitive of several operators, whose types are those of what it reads and writes."""
_RECURRENT = ("GRU", "LSTM", "RNN")
EDGES = frozenset({"Input", "Output"})
MOVES = frozenset({
    "Broadcast", "Concatenation", "DepthToSpace", "Gather", "GatherElements", "GatherND", "Pad",
    "Reorder", "Reshape", "Roll", "ScatterElementsUpdate", "ScatterNDUpdate", "ScatterUpdate",
    "ShapeOf", "ShuffleChannels", "SpaceToDepth", "Split", "StridedSlice", "Tile", "Transpose",
})  # fmt: skip
"""Primitives that only move data."""
QUANTIZES, DEQUANTIZES = "FakeQuantize", "Dequantize"
"""The second is our name for what becomes of a DQ: a Convert, and arithmetic with constants."""
_CONVERTS = frozenset({"Convert", "Eltwise", "FakeQuantize", "Subgraph"})
"""Primitives that may be what is left of a Q or DQ."""
_Step = Callable[[Node], list[Node]]
UNKNOWN = "OpenVINO does not tell what became of it"
UNTOLD_INSIDE = "it is fused, and OpenVINO does not tell in which type it multiplies"


def inspect_openvino(path: Path, executed: Graph, runtime: str, machine: str) -> Inspection:
    """List every primitive that runs, with the type it computes in and, where float, why.

    Args:
        path: the exported file.
        executed: the same model as OpenVINO compiled it.
        runtime: name and version, such as 'openvino 2026.4.1'.
        machine: where it was compiled, as uname says it (x86_64, aarch64).

    Returns:
        The primitives in order of execution. MACs are those of one inference with all free
        dimensions 1, counted in the exported file.

    Raises:
        ArtifactError: the file is unreadable, or its MACs cannot be counted.

    """
    exported = load(path)
    propagate(exported)
    nodes = list(all_nodes(exported.graph))
    setting = Setting(
        quantised=any(node.op_type in CONVERSIONS for node in nodes),
        kept=read_kept(path, exported.metadata_props),
    )
    ops = _Lister(path, executed, exported.graph, setting).ops()
    return Inspection(runtime=f"{runtime} ({executed.where})", machine=machine, ops=ops)


def _multiplies(node: Node) -> bool:
    return bool(_multiplying(node))


def _multiplying(node: Node) -> list[Part]:
    """The primitive itself, or those of what was fused into it that multiply."""
    return [part for part in (node, *node.inside) if part.type in MULTIPLYING]


def _multiplied(node: ir.Node, owners: dict[ir.Node, Node]) -> bool:
    return node in owners and _multiplies(owners[node])


def _family(node: ir.Node) -> str:
    return "RNN" if node.op_type in _RECURRENT else family(node)


def _folded(node: ir.Node) -> bool:
    """Whether it is computed when the file is compiled."""
    return all(is_constant(value) for value in node.outputs)


def _widest(*types: str) -> str:
    """A float among them, or else the first that is known."""
    floats = [dtype for dtype in types if dtype in FLOATS]
    known = [dtype for dtype in types if dtype != "unknown"]
    return floats[0] if floats else known[0] if known else "unknown"


def _quantizes(node: Node) -> bool:
    """Whether one that converts makes integers of floats."""
    return not set(node.written) & set(FLOATS)


class _Lister:
    """Turns primitives into Ops."""

    def __init__(self, path: Path, executed: Graph, graph: ir.Graph, setting: Setting) -> None:
        self._setting = setting
        self._graph = executed
        self._nodes = [node for node in executed.nodes if node.type not in EDGES]
        origins = Origins(graph)
        self._origins = {node.name: origins.find(node) for node in self._nodes}
        self._dtypes = {node.name: self._dtype(node) for node in self._nodes}
        self._readers: dict[str, list[Node]] = {}
        for node in executed.nodes:
            for source in executed.sources(node):
                self._readers.setdefault(source.name, []).append(node)
        self._inside = {
            node.name: [(part, origins.find(part)) for part in node.inside] for node in self._nodes
        }
        self._macs, self._lost = self._share(path, graph)
        # They multiply, and nothing tells in which type: that of their edges proves nothing.
        fused = [n.name for n in self._nodes if n.type == FUSED and not _multiplies(n)]
        self._untold = frozenset(fused) & set(self._macs)
        self._dtypes |= dict.fromkeys(self._untold, "unknown")
        self._after = reached(self._nodes, self._sources, self._computes)
        self._before = reached(self._nodes[::-1], self._reading, self._computes)

    def ops(self) -> tuple[Op, ...]:
        lost = tuple(
            Op(
                name=node_name(node),
                op_type=node.op_type,
                dtype="unknown",
                macs=macs,
                reason=UNKNOWN,
                module=module_of(node),
            )
            for node, macs in self._lost.items()
        )
        told = (op for node in self._nodes for op in (self._op(node), *self._floats_inside(node)))
        return (*told, *lost)

    def _floats_inside(self, node: Node) -> Iterator[Op]:
        """What computes in float inside a fused primitive, beside what multiplies."""
        for part, origins in self._inside[node.name]:
            computed = next((o for o in origins if o.op_type not in CONVERSIONS), None)
            dtype = _widest(part.dtype, *part.written)
            if dtype not in FLOATS or part.type in MULTIPLYING or part.type in MOVES:
                continue
            if part.type in _CONVERTS and computed is None:
                continue
            reason = NOT_QUANTISED
            if self._setting.quantised:
                told = why_float(computed, part.type, self._setting)
                reason = told or f"OpenVINO computes it in {dtype} inside {self._listed([node])}"
            name = part.type if computed is None else node_name(computed)
            yield Op(
                name=f"{node.name}: {name}",
                op_type=part.type,
                dtype=dtype,
                macs=0,
                reason=reason,
                module=None if computed is None else module_of(computed),
            )

    def _op(self, node: Node) -> Op:
        converts = self._converts(node)
        computed = self._computed(node)
        kind = QUANTIZES if _quantizes(node) else DEQUANTIZES
        return Op(
            name=node.name,
            op_type=kind if converts else node.type,
            dtype=self._dtypes[node.name],
            macs=self._macs.get(node.name, 0),
            reason=self._reason(node, computed),
            module=module_of(computed) if computed is not None and not converts else None,
            between_compute=converts and node in self._after and node in self._before,
            time_us=node.time_us,
        )

    def _share(self, path: Path, graph: ir.Graph) -> tuple[dict[str, int], dict[ir.Node, int]]:
        """MACs by primitive, and those of operators of which no primitive is known."""
        macs = {node: count(path, node) for node in all_nodes(graph) if not _folded(node)}
        owners: dict[ir.Node, Node] = {}
        for node in self._nodes:
            for origin in self._origins[node.name]:
                owner = owners.get(origin)
                if owner is None or (_multiplies(node) and not _multiplies(owner)):
                    owners[origin] = node
        owners |= self._in_order([n for n in macs if macs[n] and not _multiplied(n, owners)])
        shares: dict[str, int] = {}
        lost: dict[ir.Node, int] = {}
        for origin, number in macs.items():
            if number and origin in owners:
                name = owners[origin].name
                shares[name] = shares.get(name, 0) + number
            elif number:
                lost[origin] = number
        return shares, lost

    def _in_order(self, lost: list[ir.Node]) -> dict[ir.Node, Node]:
        """Operators whose names OpenVINO drops, paired with the primitives that multiply and have
        no operator: both are in order of execution. A family of which they are not equally many
        is left alone.
        """
        free: dict[str, list[Node]] = {}
        for node in self._nodes:
            for part, known in ((node, self._origins[node.name]), *self._inside[node.name]):
                kind = MULTIPLYING.get(part.type)
                if kind is not None and kind not in map(_family, known):
                    free.setdefault(kind, []).append(node)
        paired: dict[ir.Node, Node] = {}
        for kind, nodes in free.items():
            wanted = [node for node in lost if _family(node) == kind]
            if len(wanted) == len(nodes):
                paired |= zip(wanted, nodes, strict=True)
        for origin, node in paired.items():
            self._origins[node.name] = (origin, *self._origins[node.name])
        return paired

    def _dtype(self, node: Node) -> str:
        """What it multiplies; of others the widest of what they read and write."""
        if _multiplies(node):
            types = [part.dtype for part in _multiplying(node)]
            return "unknown" if "unknown" in types else _widest(*types)
        return _widest(node.dtype, *node.written)

    def _converts(self, node: Node) -> bool:
        """Whether it is what is left of a Q or DQ, and nothing else."""
        if node.type not in _CONVERTS:
            return False
        origins = self._origins[node.name]
        return node.type == "Convert" or all(o.op_type in CONVERSIONS for o in origins)

    def _computed(self, node: Node) -> ir.Node | None:
        """The operator that the primitive is there for."""
        origins = [o for o in self._origins[node.name] if o.op_type not in CONVERSIONS]
        multiplying = [o for o in origins if _family(o) == MULTIPLYING.get(node.type)]
        for part, known in self._inside[node.name]:
            if part.type in MULTIPLYING and part.dtype == self._dtypes[node.name]:
                multiplying += [o for o in known if _family(o) == MULTIPLYING[part.type]]
        return next(iter(multiplying or origins), None)

    def _computes(self, node: Node) -> bool:
        dtype = self._dtypes.get(node.name, "")
        if node.type in MOVES | EDGES or self._converts(node):
            return False
        return dtype == "int8" or dtype in FLOATS

    def _reason(self, node: Node, computed: ir.Node | None) -> str | None:
        if node.name in self._untold:
            return UNTOLD_INSIDE
        if self._dtypes[node.name] not in FLOATS:
            return None
        after, before = node in self._after, node in self._before
        if self._converts(node):
            return self._why_convert(node, after, before)
        if not self._setting.quantised:
            return None if node.type in MOVES else NOT_QUANTISED
        if node.type in MOVES:
            return self._why_move(after, before, node)
        told = why_float(computed, node.type, self._setting)
        return told or self._why_float_around(node)

    def _why_float_around(self, node: Node) -> str:
        """The reason where the operator is quantised on all sides, as far as the file says."""
        floats = [n for n in self._far(node, self._sources) if set(n.written) & set(FLOATS)]
        if floats and node.dtype in FLOATS:
            return f"{self._listed(floats)} hands it floats"
        floats = [n for n in self._far(node, self._reading) if self._dtypes[n.name] in FLOATS]
        if floats and node.dtype == "int8":
            return f"hands floats to {self._listed(floats)}, which is not int8"
        return (
            f"it is quantised on all sides, but OpenVINO computes it in {self._dtypes[node.name]}"
        )

    def _why_convert(self, node: Node, after: bool, before: bool) -> str:
        if _quantizes(node):
            if not after:
                return "converts the model's float input once"
            return f"quantises what {self._listed(self._far(node, self._sources))} wrote in float"
        if not before:
            return "converts the model's output to float once"
        return f"feeds {self._listed(self._far(node, self._reading))}, which is not int8"

    def _why_move(self, after: bool, before: bool, node: Node) -> str:
        if not after:
            return "moves the model's float input"
        if not before:
            return "moves the model's float output"
        return f"moves what {self._listed(self._far(node, self._sources))} wrote in float"

    def _far(self, node: Node, step: _Step) -> list[Node]:
        """The nearest that compute on one side, past what converts and moves."""
        found: dict[str, Node] = {}
        todo, seen = list(step(node)), {node.name}
        while todo:
            near = todo.pop(0)
            if near.name in seen:
                continue
            seen.add(near.name)
            if self._computes(near):
                found[near.name] = near
            else:
                todo += step(near)
        return list(found.values())

    def _sources(self, node: Node) -> list[Node]:
        return [each for each in self._graph.sources(node) if each.type not in EDGES]

    def _reading(self, node: Node) -> list[Node]:
        return [each for each in self._readers.get(node.name, []) if each.type not in EDGES]

    def _listed(self, nodes: Iterable[Node]) -> str:
        return ", ".join(f"{node.type} '{node.name}'" for node in nodes) or "nothing"
