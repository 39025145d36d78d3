"""What a batch must be, and words for what came instead. Every batch is looked at, so it is cheap:
what needs the model, or all values, is looked at once, in `check.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgecompress.errors import TaskError
from edgecompress.task.base import Batch, inputs_of
from edgecompress.task.words import came


@dataclass(frozen=True)
class Rules:
    """What the batches of one data method keep to."""

    wrong_target: Callable[[Any, int], str | None] | None = None
    """Says what is wrong with the target of so many samples; None: it may be anything."""
    pair: Callable[[Any, str], Any] | None = None
    """Makes (inputs, target) of a batch whose inputs have names."""

    def checked(self, batch: Any, where: str) -> Batch:
        """The batch as (inputs, target).

        Raises:
            TaskError: the batch does not keep to the rules; it begins with `where`.

        """
        if self.pair is not None:
            batch = self.pair(batch, where)
        check_pair(batch, where)
        if self.wrong_target is not None:
            fault = self.wrong_target(batch[1], len(inputs_of(batch)[0]))
            if fault is not None:
                raise TaskError(f"{where}: {fault}{self._way_to_stacked(batch)}")
        result: Batch = batch
        return result

    def _way_to_stacked(self, batch: Any) -> str:
        """What to do where the inputs are a list of samples, and the target fits so many."""
        assert self.wrong_target is not None
        if not isinstance(batch[0], (tuple, list)) or len(batch[0]) == len(batch[0][0]):
            return ""
        if self.wrong_target(batch[1], len(batch[0])) is not None:
            return ""
        return "; its inputs are a list of samples: give torch.stack(inputs)"


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
