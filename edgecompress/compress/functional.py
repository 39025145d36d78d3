"""A captured program in which no operator writes into a tensor.

A fake-quantize hands on a copy. Who writes into a view of it and who reads the tensor itself later
would no longer meet, and the graph would compute with what was there before. So every write becomes
a new tensor, of which all is taken that is read later, before anything is annotated.

Where nobody else reads what an operator writes into (an activation, a residual addition), it
becomes the operator that does not write. All else is functionalised by PyTorch, which knows what
each view shows of its tensor; what it writes into slices is then a concatenation (`slices.py`).
"""

import contextlib
import io
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.fx.node import map_arg

from edgecompress.compress.fx import ATEN, call_beside
from edgecompress.compress.slices import join_slices
from edgecompress.compress.state import STATE, forget_writes, keeps
from edgecompress.errors import ModelError
from edgecompress.task.base import tensors_of

_DROPOUTS = (
    ATEN.dropout.default,
    ATEN.feature_dropout.default,
    ATEN.alpha_dropout.default,
    ATEN.feature_alpha_dropout.default,
)
"""In eval mode they return what they are given, not a copy of it."""
_HELD = (*_DROPOUTS, ATEN.batch_norm.default, ATEN.instance_norm.default)
"""What PyTorch would write out as it computes in eval mode, although it has yet to train."""
_VIEWS = (ATEN.view.default, ATEN._unsafe_view.default)
"""What a reshape was while its operand had the strides that it was traced with."""


@torch.library.custom_op("edgecompress::held", mutates_args=())
def _stand_in(x: Tensor, others: list[Tensor], index: int) -> Tensor:  # noqa: ARG001 - its schema
    return torch.empty_like(x)


_stand_in.register_fake(lambda x, *_: torch.empty_like(x))
_STAND_IN = torch.ops.edgecompress.held.default


def make_functional(program: ExportedProgram, owner: str) -> ExportedProgram:
    """The same function of its inputs. What it writes into these, or into buffers that it does not
    read, is given up, since a file keeps nothing.

    Args:
        program: one line of operators, in eval mode.
        owner: the model's name.

    Raises:
        ModelError: its outputs depend on what earlier runs have written; or PyTorch knows a view
            for batches of one size only.

    """
    tensors = _Tensors(program)
    _swap(program, tensors)
    writes = [node for node in program.graph.nodes if _writes(node)]
    if writes:
        for node in writes:
            tensors.refuse_constant(node, owner)
        written = {tensors.key(_written(node)) for node in writes}
        _write_out_parts(program)
        held = _hold(program, written, tensors)
        free = len(program.range_constraints)
        with contextlib.redirect_stderr(io.StringIO()):
            program = program.run_decompositions({})
        if len(program.range_constraints) < free:
            raise ModelError(f"{owner}: what it writes into tensors fixes its batch size")
        _release(program, held)
        for node in program.graph.nodes:
            if node.target in _VIEWS:
                node.target = ATEN.reshape.default
    join_slices(program)
    forget_writes(program, owner)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _writes(node: Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable


def _written(node: Node) -> Node:
    """What an operator writes into; of several (`out=` of two results) the first."""
    assert isinstance(node.target, OpOverload)
    for index, argument in enumerate(node.target._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = node.kwargs.get(argument.name, node.args[index : index + 1] or None)
            found = given[0] if isinstance(given, (tuple, list)) else given
            if isinstance(found, Node):
                return found
    return node.all_input_nodes[0]


class _Tensors:
    """Which nodes show the same memory: those that share a storage. What a program is given for
    its constants is not what it was traced with, so of these the schemas say it.
    """

    def __init__(self, program: ExportedProgram) -> None:
        kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self._keys: dict[Node, object] = {}
        self._nodes: dict[object, list[Node]] = {}
        self._state: dict[object, tuple[InputKind, str]] = {}
        for node in program.graph.nodes:
            key = self._keys[node] = self._new_key(node)
            self._nodes.setdefault(key, []).append(node)
            spec = kinds.get(node.name) if node.op == "placeholder" else None
            if spec is not None and spec.kind in STATE:
                self._state[key] = (spec.kind, str(spec.target))

    def key(self, node: Node) -> object:
        return self._keys[node]

    def same_as(self, node: Node) -> list[Node]:
        return self._nodes[self._keys[node]]

    def is_state(self, node: Node) -> bool:
        """Whether it outlives a run."""
        return self._keys[node] in self._state

    def refuse_constant(self, write: Node, owner: str) -> None:
        """Raises ModelError where something else than a buffer or parameter is written into."""
        kind, name = self._state.get(self._keys[_written(write)], (None, ""))
        if kind is InputKind.CONSTANT_TENSOR:
            raise ModelError(keeps(owner, name))

    def _new_key(self, node: Node) -> object:
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        passes_on = node.target in _DROPOUTS or (
            source is not None and self.is_state(source) and _may_show(node)
        )
        if source is not None and passes_on:
            return self._keys[source]
        storages = [x.untyped_storage()._cdata for x in tensors_of(node.meta.get("val"))]
        return storages[0] if storages else node


def _may_show(node: Node) -> bool:
    if not isinstance(node.target, OpOverload):
        return True  # one of several parts
    return any(result.alias_info is not None for result in node.target._schema.returns)


def _swap(program: ExportedProgram, tensors: _Tensors) -> None:
    """Operators that write into what nobody reads any more become those that do not write."""
    order = {node: place for place, node in enumerate(program.graph.nodes)}
    for node in order:
        twin = _twin(node) if _writes(node) else None
        if twin is None:
            continue
        before = [x for x in tensors.same_as(_written(node)) if order[x] < order[node]]
        read_later = any(order[user] > order[node] for x in before for user in x.users)
        state = tensors.is_state(_written(node))
        # detach_ writes no number, whatever its schema says.
        if node.target is ATEN.detach_.default or not (read_later or state):
            node.target = twin


def _twin(node: Node) -> OpOverload | None:
    """The operator without the write, where that gives a tensor of the same type."""
    assert isinstance(node.target, OpOverload)
    schema = node.target._schema
    packet = getattr(ATEN, schema.name.removeprefix("aten::").removesuffix("_"), None)
    if packet is None or not schema.name.endswith("_"):
        return None
    for overload in packet.overloads():
        twin = getattr(packet, overload)
        if not twin._schema.is_mutable and _takes(twin) == _takes(node.target):
            args, kwargs = map_arg((node.args, dict(node.kwargs)), lambda x: x.meta["val"])
            same = twin(*args, **kwargs).dtype == node.meta["val"].dtype
            return cast(OpOverload, twin) if same else None
    return None


def _takes(operator: OpOverload) -> list[str]:
    return [f"{argument.type} {argument.name}" for argument in operator._schema.arguments]


@dataclass(frozen=True)
class _Held:
    """A call that a stand-in is there for, with the nodes that it read then."""

    name: str
    target: OpOverload
    arguments: tuple[Any, dict[str, Any]]
    read: list[Node]


def _hold(program: ExportedProgram, written: set[object], tensors: _Tensors) -> list[_Held]:
    """Put stand-ins in the place of what is to come through as it is. A dropout whose result, or
    what it is taken of, is written into is left out, because these are one tensor.
    """
    graph = program.graph
    held: list[_Held] = []
    for node in [node for node in graph.nodes if node.target in _HELD]:
        new, *others = node.all_input_nodes
        if node.target not in _DROPOUTS or tensors.key(node) not in written:
            call = (tuple(node.args), dict(node.kwargs))
            held.append(_Held(node.name, cast(OpOverload, node.target), call, [new, *others]))
            with graph.inserting_before(node):
                new = graph.call_function(_STAND_IN, (new, others, len(held) - 1))
            new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        program.graph_signature.replace_all_uses(node.name, new.name)
        graph.erase_node(node)
    program.graph_module.recompile()
    return held


def _write_out_parts(program: ExportedProgram) -> None:
    """PyTorch knows how to write into one of the parts that unbind gives for fixed sizes only."""
    graph = program.graph
    for node in [node for node in graph.nodes if node.target is ATEN.unbind.int]:
        dim = node.args[1] if len(node.args) > 1 else 0
        for part in list(node.users):
            new = call_beside(part, ATEN.select.int, node.args[0], dim, part.args[1])
            part.replace_all_uses_with(new)
            program.graph_signature.replace_all_uses(part.name, new.name)
            graph.erase_node(part)
        graph.erase_node(node)


def _release(program: ExportedProgram, held: list[_Held]) -> None:
    graph = program.graph
    for node in [node for node in graph.nodes if node.target is _STAND_IN]:
        x, others, index = node.args
        assert isinstance(others, (list, tuple))
        assert isinstance(index, int)
        call = held[index]
        now = dict(zip(call.read, (x, *others), strict=True))
        args, kwargs = map_arg(call.arguments, now.__getitem__)
        with graph.inserting_before(node):
            new = graph.create_node("call_function", call.target, args, kwargs, call.name)
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        program.graph_signature.replace_all_uses(node.name, new.name)
        graph.erase_node(node)
