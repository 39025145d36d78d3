"""Made-up accelerations of five activities and a small 1-D network: a task of
benchmarks/schemes.py that needs no data.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgecompress import ClassificationTask

BATCH = 64
CHANNELS, SAMPLES, CLASSES = 6, 128, 5
TRAINING, VALIDATION, TEST = 4000, 500, 3000


class Sensor(ClassificationTask):
    classes = CLASSES

    def __init__(self) -> None:
        self.train, self.validation, self.test = (
            signals(count, seed) for seed, count in enumerate((TRAINING, VALIDATION, TEST))
        )

    def model(self) -> nn.Module:
        return nn.Sequential(
            *_conv(CHANNELS, 32, 5, stride=2),
            Residual(32),
            *_conv(32, 64, 5, stride=2),
            Residual(64),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(64, CLASSES),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.test[0][:1],)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _in_order(self.train, torch.randperm(TRAINING))

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _in_order(self.validation, torch.arange(VALIDATION))

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _in_order(self.test, torch.arange(TEST))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_conv(channels, channels, 5))
        self.second = nn.Sequential(*_conv(channels, channels, 5)[:2])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        return (x + y).relu()


def signals(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """[count, CHANNELS, SAMPLES] and classes: a rhythm of the class, with a harmonic, on axes that
    are turned and scaled at random, in as much noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    classes = torch.randint(CLASSES, (count,), generator=generator)
    time = torch.arange(SAMPLES) / SAMPLES
    turns = (3 + 1.5 * classes)[:, None, None] * uniform(0.88, 1.12, 1, 1)
    phase = uniform(0, 2 * torch.pi, CHANNELS, 1)
    wave = torch.sin(2 * torch.pi * turns * time + phase)
    harmonic = 0.5 * torch.sin(4 * torch.pi * turns * time + 2 * phase)
    noise = torch.randn(count, CHANNELS, SAMPLES, generator=generator)
    # One axis has gravity in it, and so another range than the rest.
    offset = torch.zeros(count, CHANNELS, 1)
    offset[:, 2:3] = uniform(4, 9, 1, 1)
    return uniform(0.2, 2.5, CHANNELS, 1) * (wave + harmonic) + noise + offset, classes


def _in_order(data: tuple[Tensor, Tensor], rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        yield data[0][chosen], data[1][chosen]


def _conv(channels_in: int, channels: int, size: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv1d(channels_in, channels, size, stride, size // 2, bias=False)
    return [convolution, nn.BatchNorm1d(channels), nn.ReLU()]
