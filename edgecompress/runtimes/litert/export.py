"""TFLite for LiteRT: int8 throughout, with the edges and the layout that the target wants."""

import json
from dataclasses import replace
from pathlib import Path

from torch.fx import GraphModule

from edgecompress.artifact import Artifact
from edgecompress.compress.graphs import stored
from edgecompress.errors import ModelError
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.metadata import (
    LAYOUT_KEY,
    MAX_BYTES,
)
from edgecompress.formats.tflite.file import describe
from edgecompress.formats.tflite.graph import Graph, Operator, Signature, Tensor, options
from edgecompress.formats.tflite.write import write
from edgecompress.runtimes.litert.convert import Source, to_tflite
from edgecompress.runtimes.litert.layers import (
    name_tensors,
    quantizer_of,
    weight_nodes,
    weights_of,
)
from edgecompress.runtimes.litert.levels import take_levels
from edgecompress.runtimes.litert.passes import run_passes
from edgecompress.runtimes.litert.passes.kernels import double_weights
from edgecompress.runtimes.litert.passes.nnapi import run_nnapi_passes
from edgecompress.runtimes.litert.target import LitertSection
from edgecompress.store import atomic_write


def export(model: Exportable, path: Path) -> Artifact:
    """litert-torch in its static Q/DQ mode -> the passes of `passes` -> file.

    The batch is always 1: what runs TFLite on boards (NNAPI, GPU) wants fixed shapes, so
    `free_batch` is ignored. 64-bit integers at the inputs and outputs become 32-bit ones.

    Raises:
        ModelError: an operator has no counterpart in TFLite, control flow, or larger than the
            format's 2 GB.
        RuntimeMissing: litert-torch is not installed.

    """
    _check_size(model)
    edges = model.target.edges
    converted = to_tflite(
        Source(model.module, model.example_inputs, edges.layout, model.scheme is not None)
    )
    graph = converted.graph
    weights = weights_of(model)
    run_passes(graph, weights)
    if LitertSection.of(model.target).delegate == "nnapi":
        run_nnapi_passes(graph)
    if model.scheme is not None and model.scheme.same_integers:
        double_weights(graph)
    name_tensors(graph, weights, model.input_names)
    if edges.dtype == "float32":
        _float_edges(graph)
    model = take_levels(graph, model)
    converted.signatures = [Signature(model.input_names, model.output_names)]
    converted.metadata |= _notes(model, graph)
    atomic_write(path, write(converted))
    return describe(path)


def _check_size(model: Exportable) -> None:
    """Before minutes of work that cannot end well."""
    module = model.module
    sizes = {id(t): t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers())}
    if isinstance(module, GraphModule):
        for node in weight_nodes(model):
            if quantizer_of(node) is not None:
                weight = stored(module, node)
                sizes[id(weight)] = weight.numel()
    total = sum(sizes.values())
    if total > MAX_BYTES:
        raise ModelError(
            f"litert: the weights take {total / 1e9:.1f} GB and a TFLite file ends at"
            f" {MAX_BYTES / 1e9:.1f} GB; prune or quantise the model, or choose a target with"
            " another runtime"
        )


def _float_edges(graph: Graph) -> None:
    """Quantise what comes in and dequantise what goes out, inside of the file."""
    for index, tensor in enumerate(graph.inputs):
        if tensor.dtype == "int8":
            outside = _as_float(tensor)
            quantize = Operator("QUANTIZE", [outside], [tensor], 1, options("QuantizeOptions"))
            graph.operators.insert(0, quantize)
            graph.inputs[index] = outside
    for index, tensor in enumerate(graph.outputs):
        if tensor.dtype == "int8":
            outside = _as_float(tensor)
            chosen = options("DequantizeOptions")
            graph.operators.append(Operator("DEQUANTIZE", [tensor], [outside], 2, chosen))
            graph.outputs[index] = outside


def _as_float(tensor: Tensor) -> Tensor:
    return replace(tensor, name=f"{tensor.name}/float", dtype="float32", qparams=None)


def _notes(model: Exportable, graph: Graph) -> dict[str, bytes]:
    """What is kept in the file's metadata."""
    named = zip(model.input_names, graph.inputs, strict=True)
    layout = {name: model.target.edges.layout for name, x in named if len(x.shape) == 4}
    notes = {**model.notes, **({LAYOUT_KEY: layout} if layout else {})}
    return {key: json.dumps(value, sort_keys=True).encode() for key, value in notes.items()}
