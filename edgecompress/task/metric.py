"""What scores a model: the interface of a metric, and accuracy.

Not a library's, because one that knows every metric also imports every package that some metric
needs, and ends when any of them does not fit torch.
"""

import math
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Metric(Protocol):
    """What a task's `metric()` gives; every metric of torchmetrics is one."""

    @property
    def higher_is_better(self) -> bool | None:
        """Which way is better; None is refused."""

    # Any arguments, because each metric names its own as it likes.
    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch."""

    def compute(self) -> Any:
        """One number, of all batches so far."""


@runtime_checkable
class PerSample(Protocol):
    """What a metric may have beside: it is the mean of a value of each sample, and each value needs
    the other samples, as that of a search does. Its interval then follows from these values.
    Without them samples are left out to find it, and they are missed by the others, too.
    """

    def per_sample(self) -> Tensor:
        """[N] numbers, in the order of `update`; their mean is `compute()`."""


class MulticlassAccuracy:
    """Share of the samples whose highest score is that of their label (micro average)."""

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self) -> None:
        self._right = 0
        self._samples = 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add scores [N, classes] and integer labels [N]."""
        self._right += int((scores.argmax(dim=1) == labels).sum())
        self._samples += len(labels)

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no sample."""
        return self._right / self._samples if self._samples else float("nan")


def value_so_far(metric: Metric) -> float | None:
    """The metric of a part of the data; None where the metric has none for so few samples."""
    try:
        value = float(metric.compute())
    except Exception:
        # Some metrics want every class to have been there. Asking is not the user's doing.
        return None
    return value if math.isfinite(value) else None
