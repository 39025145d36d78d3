"""What the models for quantising and exporting are put together from."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Sample = tuple[nn.Module, tuple[Tensor, ...]]


class Call(nn.Module):
    """The modules of `parts` in an order of one's own: `forward` is a function of them and x."""

    def __init__(self, forward: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> object:
        return self._forward(self, x)


class TwoTensors(Call):
    def forward(self, a: Tensor, b: Tensor) -> object:  # type: ignore[override]
        return self._forward(self, a, b)


def image(channels: int = 3, size: int = 8) -> tuple[Tensor, ...]:
    return (torch.randn(1, channels, size, size),)


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def conv(inputs: int, outputs: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)  # type: ignore[arg-type]


def after_conv(*layers: nn.Module, size: int = 8) -> Sample:
    """conv, what is under test, conv, head."""
    return nn.Sequential(conv(3, 16), *layers, conv(16, 16), *head(16)), image(size=size)


def models_in(names: dict[str, object]) -> dict[str, Callable[[], Sample]]:
    """The public functions of a module that return a model and its inputs."""
    return {
        name: value
        for name, value in names.items()
        if callable(value)
        and getattr(value, "__annotations__", {}) == {"return": Sample}
        and not name.startswith("_")
    }
