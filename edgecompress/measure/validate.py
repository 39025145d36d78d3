"""Whether a file does on a device what it does here."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from edgecompress.artifact import Artifact
from edgecompress.errors import ModelError, Refused
from edgecompress.measure.evaluate import Runs, direction, infer_all
from edgecompress.measure.meter import Meter
from edgecompress.measure.order import in_order_of
from edgecompress.measure.parts import Rebuild
from edgecompress.measure.tensors import Array
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.measurement import Parity
from edgecompress.spec.pushed import Validation
from edgecompress.task import Batch, Task
from edgecompress.task.base import inputs_of

GOLDEN = 8
"""Samples that are run first: a runtime that computes wrongly is found before many are sent."""
SAMPLES = 500
MAX_OUTPUT_STEPS = 16.0
"""Kernels of different processors round differently, by a few steps after many layers."""
MIN_TOP1 = 0.98
MAX_ERROR_TO_NOISE = 2.0
"""What two kernels that both round a network of their own way may be apart (`measure/meter.py`);
then neither steps nor answers count that noise can flip."""
MIN_SURE = 0.99
Z_95 = 1.959964


@dataclass(frozen=True)
class Sample:
    """Part of the evaluation set, and what a file puts out for it here."""

    task: Task
    artifact: Artifact
    rebuild: Rebuild
    batches: list[Batch]
    outputs: list[list[Array]]
    value: float
    """The task's metric."""
    noise_rms: tuple[float, ...] | None = None
    """What quantising changes in the file's outputs, as its parity has it."""


def draw(here: Runs, task: Task, rebuild: Rebuild, seed: int) -> Sample:
    """Whole batches at random, until there are enough samples, run on this machine.

    Args:
        here: the file on this machine, under reference kernels.
        task: guarded; its evaluation data is drawn from.
        rebuild: as in `evaluate`.
        seed: of the choice.

    Raises:
        TaskError, ModelError, ArtifactError, DeviceError: as in `evaluate`.

    """
    sizes = [len(inputs_of(batch)[0]) for batch in task.eval_data()]
    order = np.random.default_rng(seed).permutation(len(sizes))
    enough = int(np.searchsorted(np.cumsum([sizes[i] for i in order]), SAMPLES)) + 1
    chosen = set(order[:enough].tolist())
    batches = [batch for index, batch in enumerate(task.eval_data()) if index in chosen]
    outputs = _infer(here, batches)
    value = _value(task, rebuild, batches, outputs)
    return Sample(task, here.file.artifact, rebuild, batches, outputs, value)


def validate(
    there: Runs, sample: Sample, budgets: Budgets, alive: Callable[[], None]
) -> Validation:
    """Run the sample on the device: the first few of it, and then all.

    Args:
        there: the file on the device.
        sample: what is expected.
        budgets: what the metric may lose between here and there.
        alive: called before each command of the agent.

    Raises:
        Refused: the outputs or the metric are not those of here.
        ArtifactError: the device cannot load the file.
        DeviceError: it dies, hangs, or answers nonsense.

    """
    name = there.agent.transport.name
    first = [_head(sample.batches[0], GOLDEN)]
    alive()
    few = _infer(there, first)
    golden = _parity(name, sample, [[array[:GOLDEN] for array in sample.outputs[0]]], few)
    _check_steps(name, golden, "golden outputs")
    alive()
    outputs = _infer(there, sample.batches)
    parity = _parity(name, sample, sample.outputs, outputs)
    value = _value(sample.task, sample.rebuild, sample.batches, outputs)
    metric = sample.task.metric()
    low, high = _interval(type(metric).__name__, value, parity.samples)
    around = "" if low is None else f" ({low:.4f} to {high:.4f})"
    told = (
        f"{name}: {type(metric).__name__} is {value:.4f}{around} on {parity.samples} samples"
        f" there, {sample.value:.4f} here"
    )
    if not budgets.allow(sample.value, value, higher_is_better=direction(metric)):
        raise Refused(f"{told}; at most {budgets.max_metric_drop:g} worse allowed")
    _check_agreement(name, parity, told)
    return Validation(
        golden=golden,
        parity=parity,
        metric=type(metric).__name__,
        value=value,
        value_here=sample.value,
        low=low,
        high=high,
    )


def _check_agreement(name: str, parity: Parity, there: str) -> None:
    """Compare the classes where there are some, and else every output of every sample."""
    agreed = parity.top1_agreement
    if agreed is None:
        _check_steps(name, parity, "outputs")
    elif agreed < MIN_TOP1 and not _is_rounding(parity):
        raise Refused(
            f"{there}, but only {agreed:.2%} of the answers are the same; at least"
            f" {MIN_TOP1:.0%} asked"
        )


def _check_steps(name: str, parity: Parity, what: str) -> None:
    if parity.max_output_steps > MAX_OUTPUT_STEPS and not _is_rounding(parity):
        raise Refused(
            f"{name}: {what} differ by {parity.max_output_steps:.3g} steps from those of here, on"
            f" {parity.samples} samples; at most {MAX_OUTPUT_STEPS:g} are rounding: its runtime"
            " computes wrongly"
        )


def _is_rounding(parity: Parity) -> bool:
    """Whether what quantising changes explains the difference; not where that is not known."""
    if parity.noise_rms is None or parity.error_to_noise is None:
        return False
    sure = parity.sure_agreement
    is_small = parity.error_to_noise <= MAX_ERROR_TO_NOISE
    return is_small and (sure is None or sure >= MIN_SURE)


def _infer(runs: Runs, batches: list[Batch]) -> list[list[Array]]:
    return [outputs for outputs, _ in infer_all(runs, batches)]


def _head(batch: Batch, count: int) -> Batch:
    """Its first samples; the target is of no use to the device."""
    return tuple(tensor[:count] for tensor in inputs_of(batch)), batch[1]


def _parity(
    name: str, sample: Sample, expected: list[list[Array]], actual: list[list[Array]]
) -> Parity:
    """Raises Refused when the outputs have other shapes, or are no numbers."""
    reference = "the same file under reference kernels here"
    gives_scores = sample.task.gives_scores is not False
    meter = Meter.of(sample.artifact, reference, sample.noise_rms, gives_scores=gives_scores)
    in_order = in_order_of(sample.task)
    try:
        for want, have in zip(expected, actual, strict=True):
            meter.add(want, have if in_order is None else in_order(want, have))
    except ModelError as error:
        raise Refused(f"{name}: {error}") from None
    return meter.result()


def _value(task: Task, rebuild: Rebuild, batches: list[Batch], outputs: list[list[Array]]) -> float:
    metric = task.metric()
    for batch, arrays in zip(batches, outputs, strict=True):
        task.update(metric, rebuild([torch.from_numpy(array) for array in arrays]), batch[1])
    return float(metric.compute())


def _interval(metric: str, value: float, samples: int) -> tuple[float | None, float | None]:
    """Wilson's score interval (1927) of a share of right answers."""
    if not metric.endswith("Accuracy") or not 0 <= value <= 1:
        return None, None
    centre = (value + Z_95**2 / (2 * samples)) / (1 + Z_95**2 / samples)
    half = math.sqrt(value * (1 - value) / samples + Z_95**2 / (4 * samples**2)) * Z_95
    half /= 1 + Z_95**2 / samples
    return max(centre - half, 0.0), min(centre + half, 1.0)
