"""A model that can be exported, and its other executions, which its file is compared with."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgecompress.compress.capture import capture
from edgecompress.measure.parity import Execution, Executions
from edgecompress.measure.tensors import Array
from edgecompress.pipeline.code import entry
from edgecompress.pipeline.job import Job, Point, QuantizedPoint
from edgecompress.task.base import Batch, inputs_of, tensors_of

if TYPE_CHECKING:
    from edgecompress.compress.quantize import Quantized

REFERENCE_SAMPLES = 512
"""Reference kernels may take minutes for a thousand images, and explain no more by all of them."""

Inference = Callable[[Iterable[Batch]], Iterator[list[Array]]]
"""From batches to a file's outputs."""


@dataclass(frozen=True)
class Executable:
    """A torch model that can be exported, and run as the reference of its file."""

    name: str
    key: str
    keep_float: tuple[str, ...]
    module: Callable[[], nn.Module]
    layers: Callable[[], dict[str, str]]
    free_batch: Callable[[], bool]
    trained: Callable[[], nn.Module] | None = None
    """The fake-quantised graph that `module` was made from."""
    two_four: tuple[str, ...] = ()
    """Layers whose weights are 2:4."""
    kept_because: dict[str, str] = field(default_factory=dict)
    """As of `Exportable`."""
    original: Point | None = None
    """What it was made of; None: it is that itself."""
    maker: str = ""
    """The code that the functions here run, as of `code.entry`."""

    @property
    def original_key(self) -> str | None:
        return None if self.original is None else self.original.key


def float_model(job: Job, point: Point, original: Point | None = None) -> Executable:
    """The model of a point, as it is; `original` as of Executable."""

    @cache  # it traces the whole model
    def free_batch() -> bool:
        return capture(point.model, job.example_inputs)[1]

    return Executable(
        point.name,
        point.key,
        (),
        lambda: point.model,
        dict,
        free_batch,
        two_four=point.two_four,
        original=original,
        maker=entry(float_model),
    )


def int8_model(job: Job, point: QuantizedPoint, original: Point | None = None) -> Executable:
    """The converted graph, with weights as the target's exporter takes them."""

    @cache
    def converted() -> "Quantized":
        if job.runtime.capabilities.takes_integers:
            return point.quantized
        # Imports torchao, which takes seconds.
        from edgecompress.compress.quantize import convert

        return convert(point.quantized.prepared, integers=False)

    return Executable(
        "quantised",
        point.key,
        point.trained.keep_float,
        lambda: converted().graph,
        lambda: converted().layers,
        lambda: point.quantized.prepared.free_batch,
        lambda: point.quantized.prepared.graph,
        point.two_four,
        point.trained.kept_because,
        original,
        entry(int8_model),
    )


def executions(job: Job, model: Executable, reference: Inference | None) -> Executions:
    """From the model that was trained to the file, as far as they differ.

    Args:
        job: gives the evaluation set.
        model: of which the file was made.
        reference: the file under the runtime's reference kernels; None: those are what it is
            evaluated with.

    """
    free_batch = model.free_batch()
    original = None
    if model.original is not None:
        outputs = _outputs(job, model.original.model, free_batch)
        original = Execution("the original, in float", outputs)
    exported = Execution(f"torch, {model.name}", _outputs(job, model.module(), free_batch))
    if model.trained is None:
        return Executions((exported,), None, original)
    graph = model.trained()
    trained = Execution("torch, fake-quantised", _outputs(job, graph, free_batch))
    unquantized = Execution("torch, not quantised", _outputs(job, _in_float(graph), free_batch))
    before = [trained, exported]
    if reference is not None:
        first = reference(_first(job.task.eval_data(), REFERENCE_SAMPLES))
        before.append(Execution("the runtime's reference kernels", first, may_end=True))
    return Executions(before, unquantized, original)


def _in_float(graph: nn.Module) -> nn.Module:
    """The same weights, with nothing quantised."""
    from edgecompress.compress.observers import set_phase

    unquantized = copy.deepcopy(graph)
    set_phase(unquantized, "float")
    return unquantized


def _first(batches: Iterable[Batch], samples: int) -> Iterator[Batch]:
    """Whole batches, until there are enough samples."""
    for batch in batches:
        yield batch
        samples -= len(inputs_of(batch)[0])
        if samples <= 0:
            return


def _outputs(job: Job, module: nn.Module, free_batch: bool) -> Iterator[list[Array]]:
    """What torch puts out, batch by batch over the evaluation set."""
    # Imports torchao, which takes seconds.
    from edgecompress.compress.quantize import run_batch

    for batch in job.task.eval_data():
        # Not round the yield: who draws from several of these would leave it in another order
        # than it was entered, and nothing could be trained any more.
        with torch.no_grad():
            outputs = run_batch(module, inputs_of(batch), free_batch)
        yield [tensor.numpy() for tensor in tensors_of(outputs)]
