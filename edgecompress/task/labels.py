"""What labels must be: one integer for each sample."""

from typing import Any

import torch
from torch import Tensor

from edgecompress.task.words import came, name_of

_CROSS_ENTROPY_TAKES = (torch.int64, torch.uint8)


def wrong_labels(labels: Any, samples: int, classes: int, *, trained: bool) -> str | None:
    """What is wrong with them, unless they are integers [N], each in 0 .. classes - 1; those that
    cross entropy takes, where they are trained with it.
    """
    if not isinstance(labels, Tensor):
        return f"labels are not a tensor but {came(labels)}; give an integer tensor [N]"
    if labels.ndim != 1 or labels.dtype == torch.bool or labels.is_floating_point():
        return (
            f"labels must be integers of shape [N],"
            f" got {labels.dtype} of shape {list(labels.shape)}{_way_to_labels(labels, classes)}"
        )
    if len(labels) != samples:
        return f"a batch of {samples} samples has {len(labels)} labels"
    if trained and labels.dtype not in _CROSS_ENTROPY_TAKES:
        return f"labels are {name_of(labels.dtype)}; cross entropy takes int64: give target.long()"
    return out_of_range(labels, classes)


def out_of_range(labels: Tensor, classes: int, ignored: int | None = None) -> str | None:
    """The first label that is no class's, if there is one; `ignored` is allowed beside them."""
    wrong = labels[(labels < 0) | (labels >= classes)]
    if ignored is not None:
        wrong = wrong[wrong != ignored]
    if not len(wrong):
        return None
    also = "" if ignored is None else f", or ignore_index = {ignored}"
    return (
        f"label {int(wrong[0])} is out of range;"
        f" with classes = {classes} labels are 0 to {classes - 1}{also}"
    )


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
