"""A task of noise that a small network really learns."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgecompress.compress.train import Training
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task import Batch, ClassificationTask, Task
from edgecompress.task.guard import guard

SPEC = TrainSpec(
    epochs=4, optimizer="sgd", learning_rate=0.05, weight_decay=1e-3, warmup_epochs=1.0
)


class Noise(ClassificationTask):
    """Three classes, augmented with noise, so that every epoch draws random numbers."""

    classes = 3

    def __init__(self, scale: float = 1.0) -> None:
        random = torch.Generator().manual_seed(1)
        self.labels_ = torch.randint(3, (96,), generator=random)
        self.images = torch.randn(3, 4, 4, generator=random)[self.labels_][:, None]
        self.scale = scale
        self.stop_in: tuple[int, int] | None = None
        self.served = 0
        guard(self)

    def model(self) -> nn.Module:
        torch.manual_seed(7)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(128, 3),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.images[:1],)

    def train_data(self) -> Iterable[Batch]:
        self.served += 1
        for index, chosen in enumerate(torch.randperm(96).split(32)):
            if (self.served, index) == self.stop_in:
                raise KeyboardInterrupt
            yield self.images[chosen] + torch.randn(len(chosen), 1, 4, 4), self.labels_[chosen]

    def eval_data(self) -> Iterable[Batch]:
        return [(self.images, self.labels_)]

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return super().loss(outputs, target) * self.scale


def training(task: Task, folder: Path, spec: TrainSpec = SPEC) -> Training:
    return Training("train", task, spec, 3, folder, SilentProgress())


def changed(**values: Any) -> TrainSpec:
    return SPEC.model_copy(update=values)
