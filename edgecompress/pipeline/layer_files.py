"""Files that are measured and not shipped: single layers, and whole models that are not trained.

Apart from latency.py, because torchao takes seconds to import.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from edgecompress.artifact import Artifact
from edgecompress.compress.biases import snap_biases
from edgecompress.compress.capture import capture
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.quantize import NothingQuantised, calibrate, convert, prepare
from edgecompress.formats.exportable import Exportable
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.outputs import input_names, output_names


def as_it_ships(
    job: Job, model: nn.Module, example: tuple[Tensor, ...], path: Path, keep_float: tuple[str, ...]
) -> Artifact:
    """The file that the recipe would make of a model: quantised where it quantises, by the range of
    the example alone, because a kernel's time does not depend on its scales.

    Args:
        job: of the deploy.
        model: in eval mode.
        example: its inputs, [1, ...] each.
        path: of the file.
        keep_float: modules of it that stay in float.

    Raises:
        ModelError: it cannot be traced, quantised or exported.

    """
    exportable = _quantised(job, model, example, keep_float) or _in_float(job, model, example)
    job.runtime.export(exportable, path)
    return job.runtime.format.describe(path)


def _quantised(
    job: Job, model: nn.Module, example: tuple[Tensor, ...], keep_float: tuple[str, ...]
) -> Exportable | None:
    """None: the recipe does not quantise, or all of this stays in float."""
    if job.recipe.config.quantize is None or "" in keep_float:
        return None
    try:
        prepared = prepare(model, example, job.recipe.scheme, "minmax", keep_float)
    except NothingQuantised:
        # A layer for which there is no int8 kernel is in float within the model too.
        return None
    calibrate(prepared, [(example, None)])
    snap_biases(prepared)
    quantized = convert(prepared, job.runtime.capabilities.takes_integers)
    inputs, outputs = _names(model, example)
    return Exportable(
        module=quantized.graph,
        example_inputs=example,
        free_batch=prepared.free_batch,
        input_names=inputs,
        output_names=outputs,
        lineage={},
        target=job.recipe.target,
        layers=quantized.layers,
        keep_float=keep_float,
        scheme=job.recipe.scheme,
    )


def _in_float(job: Job, model: nn.Module, example: tuple[Tensor, ...]) -> Exportable:
    module = duplicate(model)
    inputs, outputs = _names(model, example)
    return Exportable(
        module=module,
        example_inputs=example,
        free_batch=capture(module, example)[1],
        input_names=inputs,
        output_names=outputs,
        lineage={},
        target=job.recipe.target,
    )


def _names(
    model: nn.Module, example: tuple[Tensor, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    with torch.no_grad():
        made = model(*example)
    inputs = input_names(model, example)
    return inputs, output_names(made, inputs)
