"""Eight patterns in noise, whose scores stand beside a box in pixels."""

from collections.abc import Iterable
from typing import Any

import torch
from planted_task import Planted
from torch import Tensor, nn

from edgecompress import Task
from edgecompress.task.metric import Metric


class Detecting(Task):
    def __init__(self) -> None:
        self.planted = Planted()

    def model(self) -> nn.Module:
        return Heads(self.planted.patterns)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return self.planted.example_inputs()

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return self.planted.train_data()

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return self.planted.eval_data()

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return self.planted.loss(outputs[:, 4:], target)

    def metric(self) -> Metric:
        return self.planted.metric()

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(outputs[:, 4:], target)


class Heads(nn.Module):
    """Scores are a matched filter; a box is no more than large."""

    def __init__(self, patterns: Tensor) -> None:
        super().__init__()
        width = patterns.shape[1]
        self.boxes, self.scores = nn.Linear(width, 4), nn.Linear(width, len(patterns))
        with torch.no_grad():
            self.scores.weight.copy_(patterns / width)
            self.scores.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.boxes(x).sigmoid() * 640, self.scores(x).sigmoid()], 1)
