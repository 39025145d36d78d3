"""A task whose data is right, and the look at it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edgecompress.task import Batch, ClassificationTask, Task
from edgecompress.task.check import Reads, check_data
from edgecompress.task.guard import guard
from edgecompress.task.load import original_model

IMAGES = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3


def batches(*parts: Tensor) -> list[Any]:
    return list(zip(*(part.split(10) for part in parts), strict=True))


class Right(ClassificationTask):
    classes = 3

    def model(self) -> nn.Module:
        convolution = nn.Conv2d(1, 3, 3)
        return nn.Sequential(convolution, nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, 8, 8),)

    def train_data(self) -> Iterable[Batch]:
        return batches(IMAGES, LABELS)

    def eval_data(self) -> Iterable[Batch]:
        return batches(IMAGES, LABELS)


def look(task: Task, reads: Reads = Reads()) -> None:  # noqa: B008 - it is frozen
    guard(task)
    check_data(task, original_model(task), reads, seed=0)
