"""What quantising costs, operator by operator, as a ratio of signal to quantisation noise.

SQNR = 10 log10(sum x^2 / sum (x' - x)^2) in dB, x of the float graph and x' of the quantised one.
It needs no labels, and tells apart what a metric on a few samples cannot.

A run in float and one that quantises everything, node by node, give every operator's own figures.
What one operator does to the model's outputs takes a run of its own of all that follows it.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.modes import set_training
from edgecompress.compress.quantize import Prepared
from edgecompress.compress.stepping import Stepper, work_of
from edgecompress.compress.units import Unit, units_of
from edgecompress.spec.report import OperatorNoise, QuantizationNoise
from edgecompress.task.base import Batch, inputs_of, tensors_of

LARGEST_DB = 150.0
"""More than float32 has: no difference at all. Less than its negative: numbers became infinite."""
_SAMPLES = 16
_WORK = 6.0e10
"""Multiplications that all passes together may take, some seconds on one core."""


def measure_noise(prepared: Prepared, held_out: Iterable[Batch]) -> QuantizationNoise:
    """SQNR of every quantised operator of a calibrated graph; the graph is left quantising.

    Args:
        prepared: calibrated or trained.
        held_out: data that no range was taken from; as many samples of it are used as can be
            afforded, at most 16.

    Returns:
        The operators with the lowest SQNR at the model's outputs first.

    """
    graph = prepared.graph
    set_training(graph, False)
    CalibrationRun(graph).freeze()
    units = units_of(graph)
    outputs, count = Ratio(), 0
    found = [_Ratios() for _ in units]
    stepper = Stepper(graph)
    # A run of what follows an operator is, on average, half of one.
    wanted = affordable(prepared, 2 + len(units) / 2)
    with torch.no_grad():
        for inputs in held_out_inputs(prepared, held_out, wanted):
            count += len(inputs[0])
            _one_pass(stepper, units, inputs, found, outputs)
    rows = [_row(unit, ratios) for unit, ratios in zip(units, found, strict=True)]
    rows.sort(key=lambda row: LARGEST_DB if row.alone_db is None else row.alone_db)
    return QuantizationNoise(samples=count, outputs_db=outputs.db, operators=tuple(rows))


class Ratio:
    """Signal and noise, summed over samples and tensors."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, original: object, other: object) -> None:
        """Two values of one node; only floating-point tensors count, and in them what is finite
        in the original: a mask of -inf is no signal.
        """
        pairs = zip(tensors_of(original), tensors_of(other), strict=True)
        for reference, changed in pairs:
            if not reference.is_floating_point() or reference.shape != changed.shape:
                continue
            x, y = reference.double(), changed.double()
            finite = x.isfinite()
            self._signal += float(torch.where(finite, x, 0.0).square().sum())
            self._noise += float(torch.where(finite, y - x, 0.0).square().sum())

    @property
    def db(self) -> float | None:
        """None where the original is zero, or nowhere finite."""
        if self._signal == 0:
            return None
        if not math.isfinite(self._noise):
            return -LARGEST_DB
        if self._noise == 0 or not math.isfinite(self._signal):
            return LARGEST_DB
        decibels = 10 * (math.log10(self._signal) - math.log10(self._noise))
        return min(max(decibels, -LARGEST_DB), LARGEST_DB)


@dataclass
class _Ratios:
    """What one operator costs."""

    alone: Ratio = field(default_factory=Ratio)
    local: Ratio = field(default_factory=Ratio)
    accumulated: Ratio = field(default_factory=Ratio)


def _row(unit: Unit, ratios: _Ratios) -> OperatorNoise:
    return OperatorNoise(
        name=unit.name,
        module=unit.module,
        kind=unit.kind,
        alone_db=ratios.alone.db,
        local_db=ratios.local.db,
        accumulated_db=ratios.accumulated.db,
    )


def _one_pass(
    stepper: Stepper,
    units: tuple[Unit, ...],
    inputs: tuple[Tensor, ...],
    found: list[_Ratios],
    outputs: Ratio,
) -> None:
    """Add the figures of one batch."""
    original = stepper.run(inputs, quantised=False)
    quantised = stepper.run(inputs, quantised=True)
    for unit, ratios in zip(units, found, strict=True):
        read = unit.quantizer or unit.last
        ratios.accumulated.add(original[read], quantised[read])
    last = stepper.output
    outputs.add(original[last], quantised[last])
    del quantised
    for unit, ratios in zip(units, found, strict=True):
        value = stepper.alone(unit, original)
        ratios.local.add(original[unit.last], value)
        changed = stepper.after(unit, value, original)
        ratios.alone.add(original[last], changed)


def held_out_inputs(
    prepared: Prepared, held_out: Iterable[Batch], wanted: int
) -> Iterator[tuple[Tensor, ...]]:
    """The first `wanted` samples, batch by batch; one by one where the graph takes no more."""
    for batch in held_out:
        inputs = tuple(x[:wanted] for x in inputs_of(batch))
        wanted -= len(inputs[0])
        if prepared.free_batch:
            yield inputs
        else:
            yield from (tuple(x[i : i + 1] for x in inputs) for i in range(len(inputs[0])))
        if wanted <= 0:
            return


def affordable(prepared: Prepared, passes: float, work: float = _WORK) -> int:
    """How many samples may go through so many runs of the graph."""
    return max(1, min(_SAMPLES, int(work / (work_of(prepared) * passes))))
