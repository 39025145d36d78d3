"""A task's metric of a model on its validation data, and whether it is near enough to another's."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgecompress.compress.modes import set_training
from edgecompress.errors import TaskError
from edgecompress.spec.base import Spec
from edgecompress.spec.deploy import excess_drop
from edgecompress.task.base import Task, inputs_of
from edgecompress.task.decoded import decoding
from edgecompress.task.guard import user_code
from edgecompress.task.metric import Metric, value_so_far
from edgecompress.task.places import CPU, device_of, to_device

Run = Callable[..., Any]
"""A model's inputs [N, ..] to what it returns."""


def validate(model: nn.Module, task: Task, run: Run | None = None) -> float:
    """The task's metric of `model` in eval mode on its validation data; `run` calls it where that
    takes more than calling.

    Raises:
        TaskError: the model cannot take the data, or the metric gives no finite number.

    """
    set_training(model, False)
    metric = task.metric()
    for _ in _scoring(task, metric, run or model, device_of(model)):
        pass
    return _value(task, metric)


class Reference(Spec):
    """The metric of a model on the validation data, and on the beginnings of it."""

    metric: float
    samples: int
    beginnings: dict[int, tuple[int, float]]
    """Number of batches -> how many samples they have, and the metric there, if any."""


def reference(task: Task, run: Run) -> Reference:
    """Score the model that others are held against.

    Raises:
        TaskError: as in `validate`.

    """
    metric, beginnings, samples = task.metric(), {}, 0
    for batches, samples in _scoring(task, metric, run):
        if _is_looked_at(batches):
            value = value_so_far(metric)
            if value is not None:
                beginnings[batches] = (samples, value)
    return Reference(metric=_value(task, metric), samples=samples, beginnings=beginnings)


@dataclass(frozen=True)
class Limit:
    """How much worse than the reference a metric may be."""

    task: Task
    reference: Reference
    max_drop: float

    def holds(self, metric: float) -> bool:
        return self.excess(metric) == 0.0

    def excess(self, metric: float) -> float:
        """How much more is lost than may be; 0 where it holds."""
        wanted = self.reference.metric
        return excess_drop(self._drop(metric, wanted), self.max_drop, (wanted, metric))

    def kept_metric(self, run: Run) -> float | None:
        """The metric of a model; None where it does not hold.

        A model that loses much shows it early: what a metric, the mean of all samples, has lost on
        the first ones is its loss on all even if the others lost nothing. So most of those
        that do not hold are given up long before the data end.

        Raises:
            TaskError: as in `validate`.

        """
        metric = self.task.metric()
        for batches, samples in _scoring(self.task, metric, run):
            known = self.reference.beginnings.get(batches)
            value = None if known is None else value_so_far(metric)
            if known is None or value is None or known[0] != samples:
                continue
            share = samples / self.reference.samples
            if share < 1 and share * self._drop(value, known[1]) > self.max_drop:
                return None
        found = _value(self.task, metric)
        return found if self.holds(found) else None

    def _drop(self, metric: float, wanted: float) -> float:
        return wanted - metric if self.task.metric().higher_is_better else metric - wanted


def _scoring(
    task: Task, metric: Metric, run: Run, device: torch.device = CPU
) -> Iterator[tuple[int, int]]:
    """Feed the metric, which stays on the CPU, by `run`, which takes inputs on `device`; after each
    batch, how many batches and samples there were.
    """
    name, samples, decoded = type(task).__name__, 0, decoding(task)
    for batches, batch in enumerate(task.validation_data(), start=1):
        inputs, target = inputs_of(batch), batch[1]
        with torch.no_grad(), user_code(f"the model on a batch of {name}.validation_data()"):
            if device == CPU:
                outputs = run(*inputs)
            else:
                outputs, target = to_device((run(*to_device(inputs, device)), target), CPU)
        with torch.no_grad():
            task.update(metric, decoded(outputs), target)
        samples += len(inputs_of(batch)[0])
        yield batches, samples


def _is_looked_at(batches: int) -> bool:
    """1, 2, 3, 4, 6, 8, 12, 16, ..: seldom enough for a metric that takes long to compute."""
    while batches % 2 == 0:
        batches //= 2
    return batches in (1, 3)


def _value(task: Task, metric: Metric) -> float:
    name = type(task).__name__
    with user_code(f"{name}.metric(): {type(metric).__name__}.compute()"):
        value = float(metric.compute())
    if not math.isfinite(value):
        raise TaskError(f"{name}.metric(): {type(metric).__name__} is {value}, not a number")
    return value
