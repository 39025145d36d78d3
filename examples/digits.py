"""The task of `make demo`: handwritten digits, a small residual network, trained on the spot.

The data is half of the UCI "Optical Recognition of Handwritten Digits" set (E. Alpaydin and
C. Kaynak, 1998, CC BY 4.0): 1,797 real 8x8 images, in the file beside this one, so that nothing is
downloaded.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import ClassificationTask

BATCH = 32
DATA = Path(__file__).with_name("digits.csv.gz")
TRAINING, VALIDATION = 1000, 157
"""The first 1,157 images; the last 157 of them pick the best epoch, and the rest is scored."""


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Digits(ClassificationTask):
    classes = 10

    def __init__(self) -> None:
        rows = np.loadtxt(
            DATA, delimiter=",", dtype=np.int64
        )  # 64 pixels of 0 to 16, and the digit
        pixels = torch.tensor(rows[:, :64], dtype=torch.float32)
        images = pixels.reshape(-1, 1, 8, 8) / 16
        self.images = functional.interpolate(images, size=(16, 16), mode="bilinear")
        self.targets = torch.tensor(rows[:, 64])

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 48, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            Block(48, 48, 1),
            Block(48, 96, 2),
            Block(96, 96, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(96, self.classes),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.images[:1],)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.randperm(TRAINING).split(BATCH):
            yield shifted(self.images[chosen]), self.targets[chosen]

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Moved farther than in training: where nearly all are right, chance picks the epoch."""
        for images, targets in self._in_order(TRAINING, TRAINING + VALIDATION):
            padded = functional.pad(images, (2, 2, 2, 2))
            for x, y in ((0, 0), (0, 4), (4, 0), (4, 4)):
                yield padded[:, :, y : y + 16, x : x + 16], targets

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(TRAINING + VALIDATION, len(self.images))

    def _in_order(self, start: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.arange(start, end).split(BATCH):
            yield self.images[chosen], self.targets[chosen]


def shifted(images: Tensor) -> Tensor:  # [N, 1, 16, 16] -> the same
    """Each of the images, moved by up to one pixel each way."""
    padded = functional.pad(images, (1, 1, 1, 1))
    corners = torch.randint(3, (len(images), 2)).tolist()
    moved = [
        image[:, y : y + 16, x : x + 16] for image, (x, y) in zip(padded, corners, strict=True)
    ]
    return torch.stack(moved)
