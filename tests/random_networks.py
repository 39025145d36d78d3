"""Small networks put together at random, of all that has one result in every runtime."""

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo.catalogue import settle

SIZE = 16
Step = Callable[[Tensor], Tensor]


class RandomNetwork(nn.Module):
    """2 to 6 parts between a stem and a classifier; the same one for the same seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self.parts = nn.ModuleList()
        self.channels, self.size = self._random.choice([8, 12, 16]), SIZE
        self.parts.append(nn.Sequential(_conv(3, self.channels), nn.ReLU()))
        for _ in range(self._random.randint(2, 6)):
            self.parts.append(self._part())
        whole = nn.AdaptiveAvgPool2d(1) if self.size <= 8 else nn.AdaptiveMaxPool2d(2)
        positions = 1 if self.size <= 8 else 4
        inputs = positions * self.channels
        self.head = nn.Sequential(
            whole, nn.Flatten(), nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        scores: Tensor = self.head(x)
        return scores

    def _part(self) -> nn.Module:
        c = self.channels
        kinds = ["residual", "widening", "depthwise", "joining", "grouped", "dilated", "clipped"]
        kinds += ["max", "mean"] if self.size > 4 else []
        kinds += ["upsampled"] if self.size < SIZE else []
        kind = self._random.choice(kinds)
        if kind == "residual":
            return Residual(nn.Sequential(_conv(c, c), nn.ReLU(), _conv(c, c)), nn.Identity())
        if kind == "widening":
            self.channels = self._random.choice([c, c + 8])
            return Residual(_conv(c, self.channels), _conv(c, self.channels, 1))
        if kind == "joining":
            self.channels += 8
            end = nn.ReLU() if self._random.random() < 0.5 else nn.Identity()
            return Joining(nn.Sequential(_conv(c, 8), end))
        if kind in ("max", "mean"):
            self.size //= 2
            return nn.MaxPool2d(2) if kind == "max" else nn.AvgPool2d(2)
        if kind == "upsampled":
            self.size *= 2
            return nn.Upsample(scale_factor=2)
        return {
            "depthwise": nn.Sequential(_conv(c, c, groups=c), nn.ReLU6(), _conv(c, c, 1)),
            "grouped": nn.Sequential(_conv(c, c, groups=4), nn.ReLU()),
            "dilated": nn.Sequential(_conv(c, c, dilation=2), nn.ReLU()),
            "clipped": nn.Sequential(nn.Conv2d(c, c, 1), nn.ReLU6()),
        }[kind]


class Residual(nn.Module):
    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.branch(x) + self.shortcut(x))


class Joining(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], 1)


def _conv(
    inputs: int, channels: int, kernel: int = 3, groups: int = 1, dilation: int = 1
) -> nn.Module:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, channels, kernel, 1, padding, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def random_network(seed: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """In eval mode, and an example input."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RandomNetwork(seed)
        settle(model)
        return model.eval(), (torch.randn(1, 3, SIZE, SIZE),)
