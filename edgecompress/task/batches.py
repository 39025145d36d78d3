"""What a batch must be, and words for what came instead. Every batch is looked at, so it is cheap:
what needs the model, or all values, is looked at once, in `check.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgecompress.errors import TaskError
from edgecompress.task.base import inputs_of

_SHOWN = 4
_CROSS_ENTROPY_TAKES = (torch.int64, torch.uint8)


@dataclass(frozen=True)
class Rules:
    """What the batches of one data method keep to."""

    classes: int | None = None
    """Labels are 0 .. classes - 1; None: the target may be anything."""
    cross_entropy: bool = False
    """Labels are trained with it, which does not take every integer type."""

    def check(self, batch: Any, where: str) -> None:
        """Raises TaskError, which begins with `where`, when the batch does not keep to them."""
        check_pair(batch, where)
        if self.classes is not None:
            check_labels(batch, where, self.classes, trained=self.cross_entropy)


def check_pair(batch: object, where: str) -> None:
    """Raises TaskError when it is not (inputs, target) with tensors of the same many samples."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TaskError(
            f"{where} is not (inputs, target); give pairs, not {came(batch)}{_way_to_pairs(batch)}"
        )
    inputs = inputs_of((batch[0], batch[1]))
    for tensor in inputs:
        if not isinstance(tensor, Tensor):
            raise TaskError(
                f"{where}: every input must be a tensor, not {came(tensor)}{_way_to_tensor(tensor)}"
            )
        if tensor.is_nested or tensor.layout != torch.strided:
            raise TaskError(f"{where}: every input must be a dense tensor; give .to_dense()")
    sizes = [tensor.shape[0] if tensor.ndim else 0 for tensor in inputs]
    if not sizes or len(set(sizes)) > 1 or not sizes[0]:
        raise TaskError(f"{where}: inputs must hold the same number of samples, not 0: {sizes}")


def check_labels(batch: tuple[Any, Any], where: str, classes: int, *, trained: bool) -> None:
    """Raises TaskError unless the target is integers [N], each in 0 .. classes - 1; those that
    cross entropy takes, where they are trained with it.
    """
    labels, samples = batch[1], len(inputs_of(batch)[0])
    if not isinstance(labels, Tensor):
        raise TaskError(
            f"{where}: labels are not a tensor but {came(labels)}; give an integer tensor [N]"
        )
    if labels.ndim != 1 or labels.dtype == torch.bool or labels.is_floating_point():
        raise TaskError(
            f"{where}: labels must be integers of shape [N],"
            f" got {labels.dtype} of shape {list(labels.shape)}{_way_to_labels(labels, classes)}"
        )
    if len(labels) != samples:
        is_list = isinstance(batch[0], (tuple, list)) and len(batch[0]) == len(labels)
        way = "; its inputs are a list of samples: give torch.stack(inputs)" if is_list else ""
        raise TaskError(f"{where}: a batch of {samples} samples has {len(labels)} labels{way}")
    if trained and labels.dtype not in _CROSS_ENTROPY_TAKES:
        raise TaskError(
            f"{where}: labels are {name_of(labels.dtype)}; cross entropy takes int64: give"
            " target.long()"
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise TaskError(
            f"{where}: label {int(wrong[0])} is out of range;"
            f" with classes = {classes} labels are 0 to {classes - 1}"
        )


def came(value: object) -> str:
    """A few words: 'float32 [64, 3, 32, 32]', 'a dict of image, label'."""
    if isinstance(value, Tensor):
        return f"{name_of(value.dtype)} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a numpy array, {value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {_listed([str(key) for key in value])}"
    if isinstance(value, (tuple, list)) and value:
        parts = _listed([_briefly(x) for x in value])
        return f"a {type(value).__name__} of {len(value)}: {parts}"
    return type(value).__name__


def name_of(dtype: torch.dtype) -> str:
    """'float32' for torch.float32."""
    return str(dtype).removeprefix("torch.")


def _briefly(value: object) -> str:
    return type(value).__name__ if isinstance(value, (tuple, list)) else came(value)


def _listed(words: list[str]) -> str:
    return ", ".join(words[:_SHOWN]) + (", ..." if len(words) > _SHOWN else "")


def _way_to_pairs(batch: object) -> str:
    if isinstance(batch, Mapping):
        keys = [repr(key) for key in batch]
        parts = [f"batch[{key}]" for key in keys] if len(keys) == 2 else ["..."]
        return f"; yield the parts of each: ({', '.join(parts)})"
    if isinstance(batch, (Tensor, np.ndarray)):
        return ", which has no target"
    if isinstance(batch, (tuple, list)) and batch:
        if all(isinstance(part, (tuple, list)) for part in batch):
            return "; these are single samples: stack them, as a DataLoader does"
        return "; several inputs are a tuple of their own: ((a, b), target)"
    return ""


def _way_to_tensor(value: object) -> str:
    if isinstance(value, np.ndarray):
        return "; torch.from_numpy makes one"
    if isinstance(value, Mapping):
        return "; give a tuple of its tensors, in the order of forward()'s arguments"
    return ""


def _way_to_labels(labels: Tensor, classes: int) -> str:
    if labels.ndim == 0:
        return "; a batch has a batch dimension, which a DataLoader adds"
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "; give target.squeeze(1)" + (".long()" if labels.is_floating_point() else "")
    if labels.ndim == 2 and labels.shape[1] == classes:
        return "; of one-hot labels give target.argmax(1)"
    if labels.ndim == 1:
        return "; give target.long()"
    return ""
