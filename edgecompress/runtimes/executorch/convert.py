"""From torch to the bytes of a .pte, by ExecuTorch's own lowering to XNNPACK."""

import copy
import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.traceback import NodeSource

from edgecompress.compress.graphs import module_path
from edgecompress.errors import ModelError, RuntimeMissing
from edgecompress.runtimes.conversion import ask_once_for_operators, first_line, silent
from edgecompress.runtimes.culprit import node_in, place_of
from edgecompress.runtimes.executorch.captured import captured
from edgecompress.runtimes.executorch.notes import METHOD, MODULES_KEY, instruction
from edgecompress.runtimes.isolated import Died, is_memory, isolated

SEGMENT_ALIGNMENT = 16
"""Bytes; what XNNPACK asks of its constants. ExecuTorch's own 128 is a fifth of a small file."""


@dataclass(frozen=True)
class Source:
    """What is converted.

    Args:
        module: a float module, or a converted graph with int8 weights.
        example_inputs: of batch size 1.
        notes: texts that the file keeps, by key.

    """

    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    notes: Mapping[str, str]


def to_pte(source: Source) -> bytes:
    """A file with one method, and one more for each note; the same source gives the same bytes.

    Raises:
        ModelError: control flow, an operator that ExecuTorch has no kernel for, or the converter
            died.
        RuntimeMissing: executorch is not installed.

    """
    _import_converter()

    def convert() -> bytes:
        with torch.no_grad():
            graph = captured(source.module, source.example_inputs)
        content = _converted(graph, source)
        _try(content, source)
        return content

    try:
        return isolated(convert)
    except Died as death:
        raise ModelError(
            f"executorch: the converter died: {death}; choose a target with another runtime"
        ) from death


def _import_converter() -> None:
    """Once, so that the process that converts is born with it."""
    try:
        with silent():
            for name in ("exir", "backends.xnnpack.partition.xnnpack_partitioner"):
                importlib.import_module(f"executorch.{name}")
    except ImportError as error:
        raise RuntimeMissing(
            f"executorch: writing .pte files needs executorch ({error}); run: pip install"
            " 'edgecompress[executorch]'"
        ) from None


def _converted(graph: GraphModule, source: Source) -> bytes:
    """Runs in a process of its own, which ends with it."""
    ask_once_for_operators()
    _copy_no_history()
    try:
        with torch.no_grad():
            program = torch.export.export(graph, source.example_inputs)
            return _lowered(program, source.notes)
    except Exception as error:
        if is_memory(error):
            raise
        node = node_in(error)
        place = "" if node is None else f"{place_of(node)}: "
        raise ModelError(
            f"executorch: {place}{first_line(error)}; replace that operator, or choose a target"
            " with another runtime"
        ) from error


def _try(content: bytes, source: Source) -> None:
    """Some kernels refuse only at run time what the converter wrote for them."""
    library = importlib.import_module("executorch.extension.pybindings._C")

    try:
        library._load_program_from_buffer(content).load_method(METHOD).call(source.example_inputs)
    except RuntimeError as error:
        raise ModelError(
            f"executorch: its kernels do not run the model ({first_line(error)}): an operator of a"
            " size or kind that they lack; choose a target with another runtime"
        ) from error


def _lowered(program: ExportedProgram, notes: Mapping[str, str]) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import (
        EdgeProgramManager,
        ExecutorchBackendConfig,
        to_edge_transform_and_lower,
    )

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    edge = lowered.exported_program()
    config = ExecutorchBackendConfig(segment_alignment=SEGMENT_ALIGNMENT)
    # Written twice, because only a written program has numbers for its instructions; a copy,
    # because writing changes it.
    trial = EdgeProgramManager({METHOD: copy.deepcopy(edge)}).to_executorch(config)
    modules = _modules(edge.graph_module, trial.debug_handle_map.get(METHOD, {}))
    told = {**notes, MODULES_KEY: json.dumps(modules, sort_keys=True)}
    manager = EdgeProgramManager({METHOD: edge}, constant_methods=told)
    content: bytes = manager.to_executorch(config).buffer
    return content


def _modules(graph: GraphModule, handles: Mapping[int, object]) -> dict[str, str]:
    """The object of MODULES_KEY.

    Args:
        graph: lowered; nodes have debug handles.
        handles: from the place of an instruction to the debug handle of its node, or to a list of
            those in a delegate.

    """
    paths = {
        str(node.meta["debug_handle"]): path
        for node in _nodes(graph)
        if node.meta.get("debug_handle") and (path := module_path(node))
    }
    placed = {
        instruction(number): paths[str(handle)]
        for number, handle in handles.items()
        if str(handle) in paths
    }
    return paths | placed


def _nodes(graph: GraphModule) -> Iterator[Node]:
    """All that compute, those that a delegate was given before those around it."""
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            inside = getattr(getattr(graph, str(node.target)), "original_module", None)
            if inside is not None:
                yield from inside.graph.nodes
    yield from graph.graph.nodes


def _copy_no_history() -> None:
    """Every pass copies, for every node, the chain of nodes that it came from, to the depth of all
    passes before. Nobody changes a link of these chains, so that copies may share them: an eighth
    of the time.
    """
    setattr(NodeSource, "__deepcopy__", lambda self, _: self)  # noqa: B010 - it has none to assign
