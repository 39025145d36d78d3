"""What mobile networks are made of: depthwise, inverted residuals, squeeze-excite, shuffle."""

import torch
from torch import Tensor, nn


def conv_bn(inputs: int, outputs: int, kernel: int, **options: int) -> list[nn.Module]:
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False, **options)  # type: ignore[arg-type]
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """MobileNetV2 (Sandler et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            *conv_bn(inputs, hidden, 1),
            nn.ReLU6(),
            *conv_bn(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.ReLU6(),
            *conv_bn(hidden, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, squeezed, 1)
        self.up = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.up(self.down(x.mean((2, 3), keepdim=True)).relu())
        return x * nn.functional.hardsigmoid(scale)


class ChannelShuffle(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def _image() -> tuple[Tensor, ...]:
    return (torch.randn(1, 3, 16, 16),)


def depthwise_separable() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = nn.Sequential(
        *conv_bn(3, 16, 3, stride=2),
        nn.ReLU(),
        *conv_bn(16, 16, 3, groups=16),
        nn.ReLU(),
        *conv_bn(16, 32, 1),
        nn.ReLU(),
        *_head(32),
    )
    return model, _image()


def mobilenet_v2() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = nn.Sequential(
        *conv_bn(3, 16, 3, stride=2),
        nn.ReLU6(),
        InvertedResidual(16, 16, 1, 2),
        InvertedResidual(16, 24, 2, 3),
        InvertedResidual(24, 24, 1, 3),
        *_head(24),
    )
    return model, _image()


def mobilenet_v3() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = nn.Sequential(
        *conv_bn(3, 16, 3, stride=2),
        nn.Hardswish(),
        *conv_bn(16, 32, 1),
        nn.Hardswish(),
        *conv_bn(32, 32, 5, groups=32),
        nn.Hardswish(),
        SqueezeExcite(32, 16),
        *conv_bn(32, 24, 1),
        *_head(24),
    )
    return model, _image()


def channel_shuffle() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = nn.Sequential(
        *conv_bn(3, 16, 3),
        nn.ReLU(),
        *conv_bn(16, 32, 1, groups=2),
        ChannelShuffle(2),
        *conv_bn(32, 32, 3, groups=32),
        *conv_bn(32, 16, 1, groups=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        *_head(16),
    )
    return model, _image()


def grouped_conv() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model = nn.Sequential(
        *conv_bn(3, 32, 3),
        nn.ReLU(),
        *conv_bn(32, 32, 3, groups=4),
        nn.ReLU(),
        *conv_bn(32, 16, 1),
        nn.ReLU(),
        *_head(16),
    )
    return model, _image()
