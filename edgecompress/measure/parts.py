"""The metric of parts of a set, from which its interval follows, whatever the metric is."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecompress.measure.tensors import Array
from edgecompress.task import ClassificationTask, Metric, Task
from edgecompress.task.metric import value_so_far

GROUPS = 20
"""For the jackknife: Student's t with 19 degrees of freedom is 5 % wider than with any more."""
MOST_UNITS = 4096
"""Parts of which the metric is computed alone; of larger sets, several samples are one part."""
_TRIED = 16
"""Samples on which it is found out what parts tell of the whole."""
_NEAR = 1e-5
"""Relative; metrics are computed in float32."""

Indices = NDArray[np.int64]
Rebuild = Callable[[list[Tensor]], Any]
"""Makes what the model returns of a file's outputs, for `task.update`."""


class Undivided(Exception):
    """What was to be divided by samples does not say which part belongs to which."""


@dataclass(frozen=True)
class Scored:
    """One batch: what a file put out, each [N, ...], and what the task says is right."""

    outputs: list[Array]
    target: Any

    @property
    def samples(self) -> int:
        return len(self.outputs[0])

    def part(self, chosen: Indices) -> "Scored":
        """Some of its samples. Raises Undivided when the target cannot be divided."""
        if len(chosen) == self.samples:
            return self
        return Scored(
            [array[chosen] for array in self.outputs], _part(self.target, chosen, self.samples)
        )


def _part(value: Any, chosen: Indices, samples: int) -> Any:
    """What belongs to some samples of a tensor or a list, or of each of those in a structure."""
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim and len(value) == samples:
        return value[torch.from_numpy(chosen)] if isinstance(value, Tensor) else value[chosen]
    if isinstance(value, list) and len(value) == samples:
        return [value[index] for index in chosen]
    if isinstance(value, dict):
        return {key: _part(item, chosen, samples) for key, item in value.items()}
    if isinstance(value, tuple):
        parts = (_part(item, chosen, samples) for item in value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    raise Undivided


class Parts:
    """The metric of each part alone where the whole is their mean, and else of all but each of a
    few groups. A part is a sample; a few in large sets; a batch where targets cannot be divided.

    Nothing is asked of a metric but what a task needs anyway, so it may be anybody's.
    """

    def __init__(self, task: Task, rebuild: Rebuild | None) -> None:
        self._task = task
        self._rebuild = rebuild
        self._alone: list[float] | None = None
        self._sizes: list[int] = []
        self._groups: list[Metric] | None = None
        self._is_divided = True
        self._at_once = 1
        self._seen = 0
        """Parts so far."""

    def add(self, batch: Scored) -> None:
        with warnings.catch_warnings():
            # Few samples are no reason to warn of: that they are few is our doing.
            warnings.simplefilter("ignore")
            if self._groups is None:
                self._groups = [self._task.metric() for _ in range(GROUPS)]
                self._begin(batch)
            self._add_alone(batch)
            self._add_to_groups(batch)

    def scores(self) -> NDArray[np.float64] | None:
        return None if self._alone is None else np.array(self._alone, np.float64)

    def sizes(self) -> NDArray[np.int32] | None:
        return None if self._alone is None else np.array(self._sizes, np.int32)

    def left_out(self) -> NDArray[np.float64] | None:
        if not self._groups or self._seen < 2:
            return None
        values = [_value(metric) for metric in self._groups[: self._seen]]
        # Some metrics have no value without a class that one group alone has.
        return np.array(values, np.float64) if np.isfinite(values).all() else None

    def _begin(self, batch: Scored) -> None:
        """Find out on the first samples what can be told of parts."""
        tried = np.arange(min(batch.samples, _TRIED))
        middle = len(tried) // 2
        try:
            few = batch.part(tried)
            whole = self._value_of([few])
            halves = [few.part(half) for half in (tried[:middle], tried[middle:]) if len(half)]
            self._is_divided = near(self._value_of(halves), whole)
        except Undivided:
            self._is_divided = False
        if not self._is_divided or self._is_of_answers(few, whole):
            return
        try:
            each = [self._value_of([few.part(tried[i : i + 1])]) for i in tried]
        except Undivided:
            return
        # Where the first are all right, this may be a coincidence, so there are groups as well.
        self._alone = [] if near(float(np.mean(each)), whole) else None

    def _is_of_answers(self, few: Scored, whole: float) -> bool:
        """Whether the metric seems to be the share of right answers, which are recorded anyway."""
        if not isinstance(self._task, ClassificationTask):
            return False
        right = few.outputs[0].argmax(axis=1) == few.target.numpy()
        return near(float(right.mean()), whole)

    def _halve(self, alone: list[float]) -> None:
        """Join neighbours, and take twice as many samples as one part from here on."""
        self._at_once *= 2
        if alone:
            joined, sizes = _joined(np.array(alone), np.array(self._sizes, np.int32))
            self._alone, self._sizes = joined.tolist(), sizes.tolist()

    def _add_alone(self, batch: Scored) -> None:
        samples = batch.samples
        while self._alone is not None and len(self._alone) + samples // self._at_once > MOST_UNITS:
            self._halve(self._alone)
        for start in range(0, samples, self._at_once):
            unit = np.arange(start, min(start + self._at_once, samples))
            if self._alone is None:
                return
            try:
                self._alone.append(self._value_of([batch.part(unit)]))
            except Undivided:
                self._alone = None
            self._sizes.append(len(unit))

    def _add_to_groups(self, batch: Scored) -> None:
        samples = np.arange(batch.samples)
        units = self._seen + (samples if self._is_divided else np.zeros_like(samples))
        self._seen = int(units[-1]) + 1
        for group, metric in enumerate(self._groups or ()):
            kept = samples[units % GROUPS != group]
            try:
                if len(kept):
                    self._update(metric, batch.part(kept))
            except Undivided:
                self._groups = []
                return

    def _value_of(self, batches: Sequence[Scored]) -> float:
        """The metric of these alone. Raises Undivided where it has none."""
        metric = self._task.metric()
        for batch in batches:
            self._update(metric, batch)
        value = _value(metric)
        if not np.isfinite(value):
            raise Undivided
        return value

    def _update(self, metric: Metric, batch: Scored) -> None:
        """Raises Undivided, because the whole was scored: it is the part that is not taken."""
        try:
            update(self._task, metric, self._rebuild, batch)
        except Exception as error:
            raise Undivided from error


def units_of(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Parts of a metric that is the mean of `values`, one a sample, and their sizes."""
    sizes = np.ones(len(values), np.int32)
    while len(values) > MOST_UNITS:
        values, sizes = _joined(values, sizes)
    return values, sizes


def _joined(
    values: NDArray[np.float64], sizes: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Two neighbours each as one part."""
    firsts = np.arange(0, len(values), 2)
    joined = np.add.reduceat(sizes, firsts, dtype=np.int32)
    return np.add.reduceat(values * sizes, firsts) / joined, joined


def update(task: Task, metric: Metric, rebuild: Rebuild | None, batch: Scored) -> None:
    """Feed one batch to a metric."""
    tensors = [torch.from_numpy(array) for array in batch.outputs]
    if rebuild is not None:
        task.update(metric, rebuild(tensors), batch.target)
    else:
        task.update(metric, tensors[0] if len(tensors) == 1 else tuple(tensors), batch.target)


def _value(metric: Metric) -> float:
    """NaN where a metric has no value of so few samples."""
    value = value_so_far(metric)
    return float("nan") if value is None else value


def near(value: float, other: float) -> bool:
    """Whether two values of a metric are the same; never of NaN."""
    return abs(value - other) <= _NEAR * max(abs(value), abs(other), 1e-3)
