"""What runs each operator of a .pte, XNNPACK or a portable kernel, and in which type."""

from pathlib import Path

from edgecompress.errors import ArtifactError
from edgecompress.formats.counting import Uncountable
from edgecompress.formats.metadata import read_kept
from edgecompress.runtimes.executorch.model import Model, Node, Tensor
from edgecompress.runtimes.executorch.ops import (
    CONVERT,
    FLOATS,
    MOVES,
    compute_dtype,
    computes,
    macs_of,
)
from edgecompress.runtimes.executorch.program import load
from edgecompress.runtimes.executorch.reasons import why_convert, why_float, why_move
from edgecompress.runtimes.listing import reached
from edgecompress.spec.measurement import Inspection, Op

_PORTABLE = "a portable kernel of ExecuTorch runs it"


def inspect_pte(path: Path, runtime: str, machine: str) -> Inspection:
    """List every operator with the type that it computes in and, where float, why.

    ExecuTorch runs what the file says: its portable kernels operator by operator, and between them
    the graphs that XNNPACK was given. So nothing needs to be run to know.

    Args:
        path: a .pte file.
        runtime: what to call it in the answer.
        machine: on which it will run, as uname says it.

    Returns:
        The operators in order of execution. `between_compute` marks a conversion that is not at the
        model's edge.

    Raises:
        ArtifactError: the file is unreadable, or its MACs cannot be counted.

    """
    model = load(path)
    return Inspection(runtime=runtime, machine=machine, ops=_Lister(path, model).ops())


class _Lister:
    """Turns operators into Ops."""

    def __init__(self, path: Path, model: Model) -> None:
        self._path = path
        self._model = model
        self._kept = read_kept(path, model.notes)
        self._quantised = any(
            node.op_type == CONVERT or compute_dtype(node) == "int8" for node in model.nodes
        )
        self._writers = {tensor: node for node in model.nodes for tensor in node.outputs}
        self._readers: dict[Tensor, list[Node]] = {}
        for node in model.nodes:
            for tensor in node.inputs:
                self._readers.setdefault(tensor, []).append(node)
        self._after = reached(model.nodes, self._before_it, computes)
        self._before = reached(model.nodes[::-1], self._after_it, computes)

    def ops(self) -> tuple[Op, ...]:
        return tuple(map(self._op, self._model.nodes))

    def _op(self, node: Node) -> Op:
        between = node in self._after and node in self._before
        return Op(
            name=node.name,
            op_type=node.op_type,
            dtype=compute_dtype(node),
            macs=self._macs(node),
            reason=self._reason(node),
            # What only moves or converts says nothing about a layer's type.
            module=node.module or None if computes(node) else None,
            between_compute=node.op_type == CONVERT and between,
            delegated=node.delegated,
            delegate_reason=None if node.delegated else _PORTABLE,
        )

    def _macs(self, node: Node) -> int:
        where = f"{self._path}: the MACs of {node.op_type} '{node.name}' cannot be counted"
        try:
            macs = macs_of(node)
        except Uncountable as problem:
            raise ArtifactError(f"{where}: {problem}; export the model without it") from None
        if macs and self._model.branches:
            raise ArtifactError(
                f"{where}: the file has jumps, so it runs an unknown number of times; export the"
                " model as one straight line"
            )
        return macs

    def _reason(self, node: Node) -> str | None:
        if compute_dtype(node) not in FLOATS:
            return None
        at_edge = (node not in self._after, node not in self._before)
        if node.op_type == CONVERT and self._changes_type(node):
            return why_convert(node, self._before_it(node), self._after_it(node), at_edge)
        if node.op_type in MOVES:
            moved = why_move(self._before_it(node), at_edge) if self._quantised else None
            if moved is not None or not self._quantised:
                return moved
        return why_float(node, self._kept, self._quantised, self._writers)

    def _changes_type(self, node: Node) -> bool:
        return node.inputs[0].dtype != node.outputs[0].dtype

    def _before_it(self, node: Node) -> list[Node]:
        return [self._writers[tensor] for tensor in node.inputs if tensor in self._writers]

    def _after_it(self, node: Node) -> list[Node]:
        return [reader for tensor in node.outputs for reader in self._readers.get(tensor, [])]
