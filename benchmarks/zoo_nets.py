"""Small published networks that no package of the zoo has, as their papers describe them.

Widths are the papers' unless a docstring says otherwise. All take float32.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution with 'same' padding, its batch norm and ReLU."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2)
    conv = nn.Conv2d(inputs, outputs, sides, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then pointwise, each with batch norm and ReLU (Howard et al., 2017)."""
    return nn.Sequential(
        conv_bn_relu(inputs, inputs, 3, stride, groups=inputs), conv_bn_relu(inputs, outputs, 1)
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is 1x1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(inputs, outputs, 3, stride)
        self.second = conv_bn_relu(outputs, outputs, 3)[:2]
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = conv_bn_relu(inputs, outputs, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H', W']
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def resnet8() -> nn.Module:
    """MLPerf Tiny's image classifier (Banbury et al., 2021): [N, 3, 32, 32] -> [N, 10]."""
    return nn.Sequential(
        conv_bn_relu(3, 16, 3),
        Residual(16, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def ds_cnn() -> nn.Module:
    """MLPerf Tiny's keyword spotter (Zhang et al., 2017): [N, 1, 49, 10] -> [N, 12]."""
    return nn.Sequential(
        nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        *(separable(64, 64) for _ in range(4)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 12),
    )


def mobilenet_v1_vww() -> nn.Module:
    """MLPerf Tiny's person detector, MobileNetV1-0.25: [N, 3, 96, 96] -> [N, 2]."""
    widths = [8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    blocks = [
        separable(before, after, stride)
        for before, after, stride in zip(widths, widths[1:], strides, strict=False)
    ]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 2)]
    return nn.Sequential(conv_bn_relu(3, 8, 3, 2), *blocks, *head)


def deep_autoencoder() -> nn.Module:
    """MLPerf Tiny's anomaly detector: [N, 640] -> [N, 640], through 8 numbers."""
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))


def m5() -> nn.Module:
    """Raw audio to words (Dai et al., 2017), 32 channels wide: [N, 1, 4000] -> [N, 35]."""
    layers: list[nn.Module] = []
    for before, after, kernel, stride in ((1, 32, 80, 4), (32, 32, 3, 1), (32, 64, 3, 1)):
        conv = nn.Conv1d(before, after, kernel, stride)
        layers += [conv, nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(4)]
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 35)]
    return nn.Sequential(*layers, *head)


class TemporalBlock(nn.Module):
    """Two dilated causal convolutions with normalised weights, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        self.first = weight_norm(nn.Conv1d(inputs, outputs, 3, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(outputs, outputs, 3, dilation=dilation))
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, L] -> [N, outputs, L]
        y = functional.relu(self.first(functional.pad(x, (self.pad, 0))))
        y = functional.relu(self.second(functional.pad(y, (self.pad, 0))))
        return functional.relu(y + self.shortcut(x))


class TemporalNet(nn.Module):
    """TCN (Bai et al., 2018), 32 channels wide: [N, 9, 64] -> [N, 6], of the last step."""

    def __init__(self) -> None:
        super().__init__()
        widths = [9, 32, 32, 32]
        self.blocks = nn.Sequential(
            *(TemporalBlock(widths[i], widths[i + 1], 2**i) for i in range(3))
        )
        self.head = nn.Linear(32, 6)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.blocks(x)[:, :, -1])
        return scores


class SeparatorBlock(nn.Module):
    """A 1-D block of Conv-TasNet: widen, depthwise with dilation, and back, with PReLU."""

    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.widen = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.PReLU())
        self.widen_norm = nn.GroupNorm(1, hidden)
        self.mix = nn.Sequential(
            nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden),
            nn.PReLU(),
            nn.GroupNorm(1, hidden),
        )
        self.back, self.skip = nn.Conv1d(hidden, channels, 1), nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, channels, L], both out too
        y = self.mix(self.widen_norm(self.widen(x)))
        return x + self.back(y), self.skip(y)


class ConvTasNet(nn.Module):
    """Two speakers apart (Luo & Mesgarani, 2019), narrow: [N, 1, 800] -> [N, 2, 800]."""

    def __init__(self, filters: int = 32, channels: int = 24, hidden: int = 48) -> None:
        super().__init__()
        self.encode = nn.Conv1d(1, filters, 16, 8, bias=False)
        self.norm, self.narrow = nn.GroupNorm(1, filters), nn.Conv1d(filters, channels, 1)
        self.blocks = nn.ModuleList(SeparatorBlock(channels, hidden, 2**i) for i in range(4))
        self.masks = nn.Sequential(nn.PReLU(), nn.Conv1d(channels, 2 * filters, 1), nn.Sigmoid())
        self.decode = nn.ConvTranspose1d(filters, 1, 16, 8, bias=False)

    def forward(self, audio: Tensor) -> Tensor:
        code = functional.relu(self.encode(audio))
        x, skips = self.narrow(self.norm(code)), torch.zeros(())
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        masks = self.masks(skips).unflatten(1, (2, -1))
        speakers = [self.decode(code * masks[:, i]) for i in range(2)]
        return torch.cat(speakers, dim=1)


class RecurrentSpotter(nn.Module):
    """CRNN keyword spotter (Arik et al., 2017), one layer: [N, 1, 40, 32] -> [N, 12]."""

    def __init__(self, cell: type[nn.GRU] | type[nn.LSTM]) -> None:
        super().__init__()
        self.conv = conv_bn_relu(1, 16, (5, 5), 2)
        self.recurrent = cell(16 * 20, 32, batch_first=True)
        self.head = nn.Linear(32, 12)

    def forward(self, mel: Tensor) -> Tensor:
        steps = self.conv(mel).flatten(1, 2).transpose(1, 2)  # [N, 16, 320]
        scores: Tensor = self.head(self.recurrent(steps)[0][:, -1])
        return scores


class PointNet(nn.Module):
    """Points to classes, without the T-nets (Qi et al., 2017): [N, 3, 128] -> [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 64), (64, 64), (64, 64), (64, 128), (128, 512)):
            layers += [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after), nn.ReLU()]
        self.points = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(512, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(), nn.Linear(128, 10)
        )

    def forward(self, points: Tensor) -> Tensor:
        scores: Tensor = self.head(self.points(points).amax(dim=2))
        return scores


class TemporalResidual(nn.Module):
    """A block of TC-ResNet: 9-tap convolutions along time, frequency as channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(inputs, outputs, 9, 2, 4, bias=False),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.Conv1d(outputs, outputs, 9, 1, 4, bias=False),
            nn.BatchNorm1d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv1d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, L] -> [N, outputs, L / 2]
        return functional.relu(self.body(x) + self.shortcut(x))


def tc_resnet8() -> nn.Module:
    """Keyword spotter (Choi et al., 2019): [N, 40, 98] -> [N, 12]."""
    return nn.Sequential(
        nn.Conv1d(40, 16, 3, padding=1, bias=False),
        TemporalResidual(16, 24),
        TemporalResidual(24, 32),
        TemporalResidual(32, 48),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(48, 12),
    )


def eegnet() -> nn.Module:
    """EEGNet-8,2 (Lawhern et al., 2018): [N, 1, 22, 128] -> [N, 4]."""
    return nn.Sequential(
        nn.Conv2d(1, 8, (1, 65), padding=(0, 32), bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, (22, 1), groups=8, bias=False),
        nn.BatchNorm2d(16),
        nn.ELU(),
        nn.AvgPool2d((1, 4)),
        nn.Conv2d(16, 16, (1, 17), padding=(0, 8), groups=16, bias=False),
        nn.Conv2d(16, 16, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ELU(),
        nn.AvgPool2d((1, 8)),
        nn.Flatten(),
        nn.Linear(16 * 4, 4),
    )


def espcn() -> nn.Module:
    """Super-resolution by sub-pixels (Shi et al., 2016), 3x: [N, 1, 24, 24] -> [N, 1, 72, 72]."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 5, padding=2),
        nn.Tanh(),
        nn.Conv2d(64, 32, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(32, 9, 3, padding=1),
        nn.PixelShuffle(3),
    )


def lenet5() -> nn.Module:
    """LeNet-5 (LeCun et al., 1998), with ReLU and max pools: [N, 1, 28, 28] -> [N, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class BlazeBlock(nn.Module):
    """Depthwise 5x5 and pointwise beside a shortcut that pools and pads channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, outputs - inputs
        self.depthwise = nn.Conv2d(inputs, inputs, 5, stride, 2, groups=inputs, bias=False)
        self.pointwise = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H', W']
        shortcut = functional.max_pool2d(x, 2) if self.stride == 2 else x
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        return functional.relu(self.pointwise(self.depthwise(x)) + shortcut)


class BlazeFace(nn.Module):
    """Face detector (Bazarevsky et al., 2019), its single blocks: [N, 3, 64, 64] -> scores
    [N, 96], boxes [N, 96, 16].
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, 24, 5, 2)
        self.near = nn.Sequential(
            BlazeBlock(24, 28, 1), BlazeBlock(28, 42, 2), BlazeBlock(42, 48, 2)
        )
        self.far = nn.Sequential(BlazeBlock(48, 88, 2), BlazeBlock(88, 96, 1))
        self.scores = nn.ModuleList([nn.Conv2d(48, 1, 1), nn.Conv2d(96, 2, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(48, 16, 1), nn.Conv2d(96, 32, 1)])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        near = self.near(self.stem(images))
        levels = [near, self.far(near)]
        scores = [f(x).flatten(1) for f, x in zip(self.scores, levels, strict=True)]
        boxes = [
            f(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 16)
            for f, x in zip(self.boxes, levels, strict=True)
        ]
        return torch.cat(scores, 1).sigmoid(), torch.cat(boxes, 1)
