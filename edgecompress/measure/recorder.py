"""Fills a Record while a file is scored: its answers, and the metric of parts of the set."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecompress.errors import TaskError
from edgecompress.measure.parts import Parts, Rebuild, Scored, near, units_of
from edgecompress.measure.record import Record
from edgecompress.measure.tensors import Array
from edgecompress.spec.measurement import Evaluation
from edgecompress.task import ClassificationTask, Metric, MulticlassAccuracy, Task
from edgecompress.task.guard import user_code
from edgecompress.task.metric import PerSample

MOST_OUTPUTS = 32
"""Numbers that are kept of a sample's outputs."""
MOST_KEPT = 4096
"""Samples whose outputs are kept."""


class Recorder:
    """Takes batch by batch what a file put out."""

    def __init__(self, task: Task, rebuild: Rebuild | None) -> None:
        self._parts = Parts(task, rebuild) if _has_parts(task) else None
        self._has_classes = isinstance(task, ClassificationTask)
        self._answers: list[NDArray[np.int32]] = []
        self._labels: list[NDArray[np.int32]] = []
        self._confidences: list[NDArray[np.float32]] = []
        self._outputs: list[NDArray[np.float32]] = []
        self._samples = 0
        self._is_sketch = False

    def add(self, batch: Scored) -> None:
        outputs = batch.outputs
        numbers = sum(array[0].size for array in outputs)
        self._is_sketch |= numbers > MOST_OUTPUTS
        if self._samples < MOST_KEPT:
            self._outputs.append(_sketch(outputs)[: MOST_KEPT - self._samples])
        self._samples += batch.samples
        if self._has_classes:
            scores = torch.from_numpy(outputs[0])
            self._answers.append(scores.argmax(dim=1).numpy().astype(np.int32))
            self._labels.append(batch.target.numpy().astype(np.int32))
            self._confidences.append(_probabilities(scores).amax(dim=1).numpy())
        if self._parts is not None:
            self._parts.add(batch)

    def record(self, evaluation: Evaluation, metric: Metric) -> Record:
        """What was recorded of a file whose metric this is, with its value.

        Raises:
            TaskError: what the metric says of each sample is no such thing.

        """
        parts = self._parts
        scores = None if parts is None else parts.scores()
        sizes = None if parts is None else parts.sizes()
        if isinstance(metric, PerSample):
            scores, sizes = units_of(_values_of(metric, evaluation))
        return Record(
            value=evaluation.value,
            higher_is_better=evaluation.higher_is_better,
            samples=self._samples,
            is_share=evaluation.is_share,
            labels=np.concatenate(self._labels) if self._labels else None,
            answers=np.concatenate(self._answers) if self._answers else None,
            confidences=np.concatenate(self._confidences) if self._confidences else None,
            scores=scores,
            sizes=sizes,
            left_out=None if parts is None else parts.left_out(),
            outputs=_joined(self._outputs),
            is_sketch=self._is_sketch,
        )


def _has_parts(task: Task) -> bool:
    """Whether there is more to record than answers and what the metric says of each sample, and
    another metric can be had for it.
    """
    metric = task.metric()
    is_plain = isinstance(task, ClassificationTask) and type(metric) is MulticlassAccuracy
    return not is_plain and not isinstance(metric, PerSample) and task.metric() is not metric


def _values_of(metric: PerSample, evaluation: Evaluation) -> NDArray[np.float64]:
    """[N]"""
    with user_code(f"{type(metric).__name__}.per_sample()"):
        values = torch.as_tensor(metric.per_sample()).detach().cpu().double().numpy()
    if values.shape != (evaluation.samples,) or not near(float(values.mean()), evaluation.value):
        raise TaskError(
            f"{type(metric).__name__}.per_sample() must give {evaluation.samples} numbers, one for"
            f" each sample, whose mean is the metric's {evaluation.value:.6g}; it gave"
            f" {values.size}" + (f" with the mean {values.mean():.6g}" if values.size else "")
        )
    return values


def _probabilities(scores: Tensor) -> Tensor:
    """[N, classes] float32: the scores themselves where they are shares of 1."""
    scores = scores.float()
    sums = scores.sum(dim=1)
    # What is quantised does not sum up to 1 exactly.
    if bool((scores >= 0).all()) and bool(((sums - 1).abs() < 0.05).all()):
        return scores / sums[:, None]
    return scores.softmax(dim=1)


def _sketch(outputs: list[Array]) -> NDArray[np.float32]:
    """[N, at most MOST_OUTPUTS]: each number with a random sign, added up in as many sums (count
    sketch; Charikar, Chen and Farach-Colton, 2002), whose distances are right on average.
    """
    rows = len(outputs[0])
    flat = np.concatenate([array.reshape(rows, -1).astype(np.float32) for array in outputs], axis=1)
    numbers = flat.shape[1]
    if numbers <= MOST_OUTPUTS:
        return flat
    signs = np.random.default_rng(numbers).choice(np.array([-1, 1], np.float32), numbers)
    padded = np.pad(flat * signs, ((0, 0), (0, -numbers % MOST_OUTPUTS)))
    sums: NDArray[np.float32] = padded.reshape(rows, -1, MOST_OUTPUTS).sum(axis=1)
    return sums


def _joined(outputs: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """None where samples have outputs of different sizes, as detectors may."""
    if len({array.shape[1] for array in outputs}) != 1:
        return None
    return np.concatenate(outputs)
