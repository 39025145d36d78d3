"""The proof, node by node, of the types that ONNX Runtime computes a file in."""

import re
from pathlib import Path

import onnx_ir as ir

from edgecompress.errors import ArtifactError
from edgecompress.formats.metadata import read_kept
from edgecompress.formats.onnx.dtypes import compute_dtype, computes
from edgecompress.formats.onnx.file import load
from edgecompress.formats.onnx.kinds import CONVERSIONS, FAILS, FLOATS, MOVES, NCHWC
from edgecompress.formats.onnx.macs import count
from edgecompress.formats.onnx.propagate import propagate
from edgecompress.formats.onnx.values import all_nodes, module_of, node_name
from edgecompress.runtimes.listing import reached
from edgecompress.runtimes.onnxruntime.match import Origins
from edgecompress.runtimes.onnxruntime.reasons import (
    Setting,
    why_convert,
    why_fails,
    why_float,
    why_move,
)
from edgecompress.spec.measurement import Inspection, Op

_X86 = re.compile(r"x86|amd64|i[3-6]86", re.IGNORECASE)
_REPEATING = ("Loop", "Scan")


def inspect_onnx(path: Path, optimised: Path, runtime: str, machine: str) -> Inspection:
    """List every node that will run, with the type it computes in and, where float, why.

    Args:
        path: the exported file.
        optimised: the same model as ONNX Runtime wrote it to optimized_model_filepath.
        runtime: name and version, such as 'onnxruntime 1.31.1'.
        machine: where it was optimised, as uname says it (x86_64, aarch64).

    Returns:
        The nodes in order of execution, those inside If bodies included. MACs are those of one
        inference with all free dimensions 1.

    Raises:
        ArtifactError: a file is unreadable, or its MACs cannot be counted.

    """
    exported, running = load(path), load(optimised)
    propagate(exported)
    propagate(running)
    setting = Setting(
        quantised=_is_quantised(exported.graph),
        x86=_X86.search(machine) is not None,
        kept=read_kept(path, exported.metadata_props),
    )
    ops = _Lister(path, running.graph, Origins(exported.graph), setting).ops()
    return Inspection(runtime=runtime, machine=machine, ops=ops)


def _is_quantised(graph: ir.Graph) -> bool:
    return any(
        node.op_type in CONVERSIONS or compute_dtype(node) == "int8" for node in all_nodes(graph)
    )


class _Lister:
    """Turns the nodes of the optimised graph into Ops."""

    def __init__(self, path: Path, graph: ir.Graph, origins: Origins, setting: Setting) -> None:
        self._path = path
        self._origins = origins
        self._setting = setting
        self._nodes = list(all_nodes(graph))
        self._fails = {node: reason for node in self._nodes if (reason := why_fails(node))}
        self._dtypes = {
            node: FAILS if node in self._fails else compute_dtype(node) for node in self._nodes
        }
        self._repeated = _in_loops(self._nodes)

        def works(node: ir.Node) -> bool:
            return computes(node, self._dtypes[node])

        self._after = reached(self._nodes, ir.Node.predecessors, works)
        self._before = reached(self._nodes[::-1], ir.Node.successors, works)
        self._floats = frozenset(
            node_name(node)
            for node, dtype in self._dtypes.items()
            if dtype in FLOATS and node.op_type not in CONVERSIONS
        )

    def ops(self) -> tuple[Op, ...]:
        return tuple(self._op(node) for node in self._nodes)

    def _op(self, node: ir.Node) -> Op:
        origin = self._origins.find(node)
        converts = node.op_type in CONVERSIONS or node.op_type == "Clip"
        return Op(
            name=node_name(node),
            op_type=node.op_type,
            dtype=self._dtypes[node],
            macs=self._macs(node, origin),
            reason=self._reason(node, origin),
            module=module_of(origin) if origin is not None else None,
            between_compute=converts and node in self._after and node in self._before,
        )

    def _macs(self, node: ir.Node, origin: ir.Node | None) -> int:
        # Blocked convolutions count channels that only pad a register; their origin does not.
        counted = origin if origin is not None and node.domain == NCHWC else node
        macs = count(self._path, counted)
        if macs and node in self._repeated:
            raise ArtifactError(
                f"{self._path}: {node.op_type} '{node_name(node)}' runs an unknown number of"
                " times, inside a Loop or Scan; export the model with the loop unrolled"
            )
        return macs

    def _reason(self, node: ir.Node, origin: ir.Node | None) -> str | None:
        if node in self._fails:
            return self._fails[node]
        if self._dtypes[node] not in FLOATS:
            return None
        after, before = node in self._after, node in self._before
        if node.op_type in CONVERSIONS:
            return why_convert(node, self._floats, after, before)
        if node.op_type in MOVES:
            return why_move(node, after, before) if self._setting.quantised else None
        return why_float(origin if origin is not None else node, self._setting)


def _in_loops(nodes: list[ir.Node]) -> set[ir.Node]:
    loops = [node for node in nodes if node.op_type in _REPEATING]
    bodies = [node.attributes["body"].as_graph() for node in loops]
    return {inner for body in bodies for inner in all_nodes(body)}
