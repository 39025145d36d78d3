"""Eight patterns in noise, and a residual network that learns them in two epochs."""

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from edgecompress import ClassificationTask

BATCH = 64


class Tiny(ClassificationTask):
    classes = 8

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        patterns = torch.randn(self.classes, 1, 8, 8, generator=random)
        self.train_set = noisy(patterns, 1536, random)
        self.eval_set = noisy(patterns, 256, random)

    def model(self) -> nn.Module:
        return TinyNet(self.classes)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.eval_set[0][:1],)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        tell(f"epoch {torch.initial_seed()}")
        images, labels = self.train_set
        for chosen in torch.randperm(len(images)).split(BATCH):
            yield images[chosen], labels[chosen]

    def calibration_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return batches(self.train_set)

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return batches(self.eval_set)


class TinyNet(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = unit(1, 16)
        self.body = nn.Sequential(unit(16, 32), nn.Conv2d(32, 16, 3, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.down = unit(16, 32, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = self.relu(x + self.norm(self.body(x)))
        return self.head(self.pool(self.down(x)).flatten(1))


def unit(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


def noisy(patterns: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.randint(len(patterns), (count,), generator=random)
    noise = torch.randn(count, *patterns.shape[1:], generator=random)
    return patterns[labels] + noise, labels


def batches(data: tuple[Tensor, Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
    return list(zip(*(part.split(BATCH) for part in data), strict=True))


def tell(line: str) -> None:
    """Append to the file that a test named: what training really asked for."""
    path = os.environ.get("TINY_LOG")
    if path:
        with Path(path).open("a") as file:
            file.write(f"{line}\n")
