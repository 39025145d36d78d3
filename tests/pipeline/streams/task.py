"""Amplitude of a noisy wave, and whether it is louder than a given limit."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, Metric

from edgecompress import Task

BATCH = 50


class Streams(Task):
    def __init__(self) -> None:
        self.train_set, self.eval_set = waves(800, seed=1), waves(210, seed=2)

    def model(self) -> nn.Module:
        return StreamNet()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return torch.zeros(1, 1, 64), torch.zeros(1, 1)

    def train_data(self) -> Iterable[Any]:
        return batches(self.train_set, torch.randperm(800))

    def eval_data(self) -> Iterable[Any]:
        return batches(self.eval_set, torch.arange(210))

    def loss(self, outputs: dict[str, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        amplitude, louder = target
        return functional.mse_loss(
            outputs["amplitude"], amplitude
        ) + functional.binary_cross_entropy_with_logits(outputs["louder"], louder)

    def metric(self) -> Metric:
        return MeanAbsoluteError()

    def update(self, metric: Metric, outputs: dict[str, Tensor], target: Any) -> None:
        metric.update(outputs["amplitude"], target[0])


class StreamNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wave = nn.Sequential(
            nn.Conv1d(1, 16, 7, padding=3),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Conv1d(16, 16, 5, stride=2, padding=2),
            nn.ReLU(),
        )
        self.limit = nn.Sequential(nn.Linear(1, 16), nn.ReLU())
        self.amplitude = nn.Linear(16, 1)
        self.louder = nn.Linear(32, 1)

    def forward(self, wave: Tensor, limit: Tensor) -> dict[str, Tensor]:
        features = self.wave(wave).mean(2)
        both = torch.cat([features, self.limit(limit)], dim=1)
        return {"amplitude": self.amplitude(features), "louder": self.louder(both)}


def waves(count: int, seed: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    amplitude, limit = torch.rand(2, count, 1, generator=random)
    phase = 6.28 * torch.rand(count, 1, generator=random)
    wave = amplitude * torch.sin(torch.arange(64) / 4 + phase)
    noise = 0.1 * torch.randn(count, 64, generator=random)
    return (wave + noise)[:, None], limit, amplitude, (amplitude > limit).float()


def batches(data: tuple[Tensor, ...], order: Tensor) -> Iterable[Any]:
    for chosen in order.split(BATCH):
        wave, limit, amplitude, louder = (part[chosen] for part in data)
        yield (wave, limit), (amplitude, louder)
