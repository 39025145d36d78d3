"""Eight patterns in noise, told apart by a network in which one operator cannot be quantised."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edgecompress import ClassificationTask


class Planted(ClassificationTask):
    classes = 8

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.patterns = torch.randn(self.classes, 64, generator=random)
        self.patterns[:, 0] = 0
        self.train_set = noisy(self.patterns, 256, random)
        self.eval_set = noisy(self.patterns, 512, random)

    def model(self) -> nn.Module:
        return PlantedNet(self.patterns)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.eval_set[0][:1],)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return batches(self.train_set)

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return batches(self.eval_set)


class PlantedNet(nn.Module):
    """`rough` reads a feature that is always zero with a weight that leaves the others no steps."""

    def __init__(self, patterns: Tensor) -> None:
        super().__init__()
        width = patterns.shape[1]
        self.stem, self.rough, self.mix = (nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, len(patterns))
        with torch.no_grad():
            for layer in (self.stem, self.rough, self.mix):
                layer.weight.copy_(torch.eye(width))
                layer.bias.zero_()
            self.rough.weight[1:, 0] = 1e3
            self.head.weight.copy_(patterns)
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = self.rough(self.stem(x))
        return self.head(self.mix(x) + x)


def noisy(patterns: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.randint(len(patterns), (count,), generator=random)
    noise = 2.5 * torch.randn(count, patterns.shape[1], generator=random)
    noise[:, 0] = 0
    return patterns[labels] + noise, labels


def batches(data: tuple[Tensor, Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
    return list(zip(*(part.split(64) for part in data), strict=True))
