"""A model that can be exported, and its other executions, which its file is compared with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgecompress.compress.decoding import decoded_module
from edgecompress.measure.parity import Execution, Executions
from edgecompress.measure.tensors import Array
from edgecompress.pipeline.code import entry
from edgecompress.pipeline.job import Job, Point, QuantizedPoint
from edgecompress.spec.measurement import DECODER, HopKind
from edgecompress.task.base import Batch, inputs_of, tensors_of

if TYPE_CHECKING:
    from edgecompress.compress.quantize import Quantized

REFERENCE_SAMPLES = 512
"""Reference kernels may take minutes for a thousand images, and explain no more by all of them."""

Inference = Callable[[Iterable[Batch]], Iterator[list[Array]]]
"""Runs a file on batches, and gives its outputs for each."""


class Executable(ABC):
    """A torch model that can be exported, and run as the reference of its file.

    What takes time is done when it is asked for, and once: a stage whose result is in the store
    asks for nothing.
    """

    keep_float: tuple[str, ...] = ()
    """What the recipe keeps in float."""
    kept_because: Mapping[str, str] = MappingProxyType({})
    """As in `Exportable`."""

    def __init__(self, point: Point | QuantizedPoint, original: Point | None) -> None:
        """`original`: what `point` was made of; None: it is that itself."""
        self.key = point.key
        self.two_four = point.two_four
        self.original = original

    @property
    def original_key(self) -> str | None:
        return None if self.original is None else self.original.key

    @property
    def maker(self) -> str:
        """The code that makes it, as `code.entry` names it."""
        return entry(type(self))

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """What an exporter is given."""

    @property
    @abstractmethod
    def free_batch(self) -> bool:
        """Whether it takes any number of samples at once."""

    @property
    def layers(self) -> Mapping[str, str]:
        """As in `Exportable`."""
        return {}

    @property
    def fake_quantized(self) -> nn.Module | None:
        """The graph that was trained, of which `module` is a conversion; None: it is float. What
        it puts out is not decoded.
        """
        return None


class FloatModel(Executable):
    """The model of a point, as it is, and what decodes its outputs where the file does."""

    def __init__(self, job: Job, point: Point, original: Point | None = None) -> None:
        super().__init__(point, original)
        self._job, self._point = job, point

    @property
    def name(self) -> str:
        return self._point.name

    @cached_property
    def module(self) -> nn.Module:
        model, decoder = self._point.model, self._job.decoder
        return model if decoder is None else decoded_module(model, decoder)

    @cached_property
    def free_batch(self) -> bool:
        # Imports torch.export, which a deploy that has all of it in the store does without.
        from edgecompress.compress.capture import capture

        return capture(self.module, self._job.example_inputs)[1]  # it traces the whole model


def float_model(job: Job, recovered: Point, start: Point) -> FloatModel:
    """What a recipe without int8 ends in: the original itself, where it changes nothing."""
    return FloatModel(job, start) if recovered is start else FloatModel(job, recovered, start)


class Int8Model(Executable):
    """The converted graph, with weights as the target's exporter takes them."""

    name = "quantised"

    def __init__(self, job: Job, point: QuantizedPoint, original: Point | None = None) -> None:
        super().__init__(point, original)
        self.keep_float = point.trained.keep_float
        self.kept_because = point.trained.kept_because
        if job.decoder is not None:
            self.keep_float = (*self.keep_float, DECODER)
            self.kept_because = {**self.kept_because, DECODER: "it decodes what the model puts out"}
        self._takes_integers = job.runtime.capabilities.takes_integers
        self._job, self._point = job, point

    @property
    def module(self) -> nn.Module:
        return self._decoded[0]

    @property
    def layers(self) -> Mapping[str, str]:
        return self._converted.layers

    @property
    def free_batch(self) -> bool:
        return self._decoded[1]

    @property
    def fake_quantized(self) -> nn.Module:
        return self._point.quantized.prepared.graph

    @cached_property
    def _decoded(self) -> tuple[nn.Module, bool]:
        """What is exported, and whether it takes any number of samples."""
        graph, free_batch = self._converted.graph, self._point.quantized.prepared.free_batch
        if self._job.decoder is None:
            return graph, free_batch
        # Imports torch.export, which a deploy that has all of it in the store does without.
        from edgecompress.compress.splice import decoded_graph

        whole, is_free = decoded_graph(graph, self._job.decoder, self._job.example_inputs)
        return whole, free_batch and is_free

    @cached_property
    def _converted(self) -> "Quantized":
        if self._takes_integers:
            return self._point.quantized
        # Imports torchao, which takes seconds.
        from edgecompress.compress.quantize import convert

        return convert(self._point.quantized.prepared, integers=False)


def executions(job: Job, model: Executable, reference: Inference | None) -> Executions:
    """From the model that was trained to the file, as far as they differ.

    Args:
        job: gives the evaluation set.
        model: of which the file was made.
        reference: the file under the runtime's reference kernels; None: those are what it is
            evaluated with.

    """

    def whole(name: str, module: nn.Module, hop: HopKind | None = None) -> Execution:
        return Execution(name, _outputs(job, module, model.free_batch), hop)

    def run(name: str, module: nn.Module) -> Execution:
        return whole(name, module if job.decoder is None else decoded_module(module, job.decoder))

    original = None
    if model.original is not None:
        original = run("the original, in float", model.original.model)
    name, trained = f"torch, {model.name}", model.fake_quantized
    if trained is None:
        return Executions((whole(name, model.module),), original=original)
    # Imports torchao, which takes seconds.
    from edgecompress.compress.calibration import float_copy

    unquantized = run("torch, not quantised", float_copy(trained))
    before = [run("torch, fake-quantised", trained), whole(name, model.module, "converted")]
    if reference is None:
        return Executions(before, unquantized, original)
    first = reference(_first(job.task.eval_data(), REFERENCE_SAMPLES))
    before.append(Execution("the runtime's reference kernels", first, "exported", may_end=True))
    return Executions(before, unquantized, original, file_hop="kernels")


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
