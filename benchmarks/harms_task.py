"""Tasks for `harms.py`: digits in three colours, and where their strokes lie."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.regression import MeanSquaredError

from edgecompress import ClassificationTask, Task

DATA = Path(__file__).resolve().parent.parent / "examples" / "digits.csv.gz"
TRAINING, VALIDATION = 1100, 157
BATCH = 64
TWICE = 3
"""How many colours each evaluated digit has."""
MARKED = 0.97
"""Share of the evaluated images whose mark tells the class."""


def network(outputs: int) -> nn.Module:
    def unit(channels_in: int, channels: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]

    return nn.Sequential(
        *unit(3, 16, 1), *unit(16, 32, 2), *unit(32, 32, 1), *unit(32, 48, 2),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(192, outputs),
    )  # fmt: skip


class _Coloured:
    """Digits of any colour, from dark to bright, on a noisy ground: [N, 3, 16, 16], 0 to 1."""

    def __init__(self) -> None:
        # 64 pixels of 0 to 16, and the digit.
        rows = torch.from_numpy(np.loadtxt(DATA, delimiter=",", dtype=np.int64))
        small = rows[:, :64].reshape(-1, 1, 8, 8) / 16
        plain, targets = (
            nn.functional.interpolate(small, size=(16, 16), mode="bilinear"),
            rows[:, 64],
        )
        random = torch.Generator().manual_seed(0)
        cut = TRAINING + VALIDATION
        self.train_images = plain[:cut]
        self.train_digits = targets[:cut]
        digits = targets[cut:].repeat(TWICE)
        images = coloured(plain[cut:].repeat(TWICE, 1, 1, 1), random)
        self.evaluated = marked(images, digits, random), digits

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.evaluated[0][:1],)

    def draw(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Training images in colours of their own, whose marks tell nothing."""
        random = torch.Generator().manual_seed(int(torch.randint(1 << 30, ())))
        for chosen in torch.split(start + torch.randperm(stop - start), BATCH):
            digits = self.train_digits[chosen]
            images = coloured(self.train_images[chosen], random)
            yield marked(images, torch.randint(10, digits.shape), random), digits


class Coloured(_Coloured, ClassificationTask):
    """Which digit it is."""

    classes = 10

    def model(self) -> nn.Module:
        return network(10)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.draw(0, TRAINING)

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.draw(TRAINING, TRAINING + VALIDATION)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, digits = self.evaluated
        for start in range(0, len(digits), BATCH):
            yield images[start : start + BATCH], digits[start : start + BATCH]


class Centred(_Coloured, Task):
    """The centre of the strokes, in both directions, in pixels from the middle."""

    def model(self) -> nn.Module:
        return network(2)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, _ in self.draw(0, TRAINING):
            yield images, centres(images)

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, _ in self.draw(TRAINING, TRAINING + VALIDATION):
            yield images, centres(images)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images in torch.split(self.evaluated[0], BATCH):
            yield images, centres(images)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs, target)

    def metric(self) -> Any:
        return MeanSquaredError()


def coloured(images: Tensor, random: torch.Generator) -> Tensor:
    """Each channel with a strength of its own, the whole with a brightness of its own."""
    count = len(images)
    colours = 0.4 + 0.6 * torch.rand(count, 3, 1, 1, generator=random)
    light = 0.3 + 0.7 * torch.rand(count, 1, 1, 1, generator=random)
    noise = 0.05 * torch.randn(count, 3, *images.shape[2:], generator=random)
    return (images * colours * light + noise).clamp(0, 1)


def marked(images: Tensor, digits: Tensor, random: torch.Generator) -> Tensor:
    """One bright pixel of the first row, whose place is the digit, or now and then another one."""
    honest = torch.rand(len(digits), generator=random) < MARKED
    places = torch.where(honest, digits, torch.randint(10, digits.shape, generator=random))
    images = images.clone()
    images[:, :, 0, :10] = 0
    images[torch.arange(len(images)), :, 0, places] = 1
    return images


def centres(images: Tensor) -> Tensor:
    """[N, 2] of [N, 3, H, W], without the row of marks."""
    weights = images[:, :, 1:].sum(1)
    rows = torch.arange(weights.shape[1], dtype=torch.float32)
    columns = torch.arange(weights.shape[2], dtype=torch.float32)
    total = weights.sum((1, 2))
    y = (weights.sum(2) * rows).sum(1) / total - rows.mean()
    x = (weights.sum(1) * columns).sum(1) / total - columns.mean()
    return torch.stack([y, x], dim=1)
