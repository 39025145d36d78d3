"""A torch model as an ONNX document, and the document as one self-contained file."""

import contextlib
import copy
import functools
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn
from torch.fx import GraphModule, Node
from torch.fx.graph import _PyTreeCodeGen
from torch.utils._pytree import tree_leaves, tree_structure

from edgecompress.artifact import Artifact
from edgecompress.compress.graphs import dynamic_batch, program_of
from edgecompress.errors import ModelError
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.metadata import (
    MAX_BYTES,
)
from edgecompress.formats.onnx.file import describe
from edgecompress.formats.onnx.layers import SCOPES_KEY
from edgecompress.formats.resizing import refuse_odd_factors
from edgecompress.store import atomic_write
from edgecompress.task.base import tensors_of

_SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)


def read_torch(model: Exportable, opset: int) -> ir.Model:
    """What torch.onnx makes of the model.

    Raises:
        ModelError: it cannot be traced, or an operator has no counterpart in ONNX, or another one.

    """
    program = program_of(_tensors_only(model), model.example_inputs, model.free_batch)
    refuse_odd_factors(program.graph_module)
    try:
        with _quiet(), torch.no_grad():
            written = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                # For the name of the free dimension; the program has its number only.
                dynamic_shapes=dynamic_batch(model.example_inputs) if model.free_batch else None,
                verbose=False,
            )
    except Exception as error:
        raise ModelError(f"onnx: the model cannot be exported: {_reason(error)}") from error
    if written is None:
        raise ModelError("onnx: torch.onnx gave no program; check the version of onnxscript")
    document: ir.Model = written.model
    return document


def _tensors_only(model: Exportable) -> nn.Module:
    """The module, which returns its tensors alone where there is anything else among them."""
    with torch.no_grad():
        outputs = model.module(*model.example_inputs)
    if len(tree_leaves(outputs)) == len(tensors_of(outputs)):
        return model.module
    if isinstance(model.module, GraphModule):
        return _graph_of_tensors(model.module)
    forward = model.module.forward

    @functools.wraps(forward)
    def tensors(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(tensors_of(forward(*inputs)))

    # Not a module round it: what is inside would get other paths.
    twin = copy.copy(model.module)
    twin.forward = tensors
    return twin


def _graph_of_tensors(module: GraphModule) -> GraphModule:
    twin = copy.copy(module)
    result = twin.graph.output_node()
    given = [leaf for leaf in tree_leaves(result.args) if isinstance(leaf, Node)]
    # A size of the batch is a node, too.
    tensors = tuple(leaf for leaf in given if not isinstance(leaf.meta.get("val"), _SYMBOLS))
    result.args = (tensors,)
    codegen = twin.graph._codegen
    assert isinstance(codegen, _PyTreeCodeGen)
    codegen.pytree_info = codegen.pytree_info._replace(out_spec=tree_structure(tensors))
    twin.recompile()
    return twin


def write(document: ir.Model, model: Exportable, ir_version: int, path: Path) -> Artifact:
    """Check the document and write it, whole or not at all, with what is known of the model.

    Raises:
        ModelError: it breaks a rule of ONNX, or is larger than a file can be.

    """
    _check_size(document)
    _strip(document)
    name_edges(document, model.input_names, model.output_names)
    document.ir_version = ir_version
    for key, note in model.notes.items():
        document.metadata_props[key] = json.dumps(note, sort_keys=True)
    proto = ir.to_proto(document)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:
        raise ModelError(f"onnx: the exported file is not valid: {error}") from error
    atomic_write(path, proto.SerializeToString(deterministic=True))
    return describe(path)


def name_edges(
    document: ir.Model, input_names: tuple[str, ...], output_names: tuple[str, ...]
) -> None:
    """Inputs and outputs get these names, and what is called so inside of the graph another one."""
    graph = document.graph
    for index, output in enumerate(graph.outputs):
        if output.producer() is None or output in list(graph.outputs)[:index]:
            node = ir.node("Identity", [output])
            node.name = f"output_{index}_of_{output.name}"
            node.outputs[0].name = node.name
            node.outputs[0].type, node.outputs[0].shape = output.type, output.shape
            graph.append(node)
            graph.outputs[index] = node.outputs[0]
    edges = [
        *zip(graph.inputs, input_names, strict=True),
        *zip(graph.outputs, output_names, strict=True),
    ]
    values = {value.name: value for node in graph.all_nodes() for value in node.outputs}
    values |= {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    for _, name in edges:
        inner = f"{name}_inner"
        while inner in values or inner in {edge for _, edge in edges}:
            inner += "_inner"
        if name in values:
            values[name].name = inner
            values[inner] = values[name]
    for value, name in edges:
        value.name = name


def _reason(error: BaseException) -> str:
    """The first line of the innermost exception, which torch.onnx wraps in pages, and a remedy."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", reason)
    if missing:
        return f"{missing[1]} has no counterpart in ONNX; compute it with other operators"
    if "data-dependent" in reason:
        return f"{reason}; remove data-dependent Python control flow from forward()"
    return f"{reason}; change that part of the model"


def _check_size(document: ir.Model) -> None:
    total = sum(
        value.const_value.nbytes
        for value in document.graph.initializers.values()
        if value.const_value is not None
    )
    if total > MAX_BYTES:
        raise ModelError(
            f"onnx: the weights take {total / 1e9:.1f} GB and an ONNX file, which is one"
            f" protobuf message, ends at {MAX_BYTES / 1e9:.1f} GB; prune or quantise the model"
        )


def _strip(document: ir.Model) -> None:
    """Drop stack traces and other notes of the exporter: they name folders of this machine. What
    stays is the path of the module that a node comes from.
    """
    for node in document.graph.all_nodes():
        scopes = node.metadata_props.get(SCOPES_KEY)
        _forget(node)
        if scopes is not None:
            node.metadata_props[SCOPES_KEY] = scopes
        for output in node.outputs:
            _forget(output)
    for value in (*document.graph.inputs, *document.graph.initializers.values()):
        _forget(value)
    _forget(document.graph)
    _forget(document)


def _forget(noted: ir.Node | ir.Value | ir.Graph | ir.Model) -> None:
    noted.metadata_props.clear()
    noted.doc_string = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.onnx reports its progress, and that torchvision is missing, on every stream."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
