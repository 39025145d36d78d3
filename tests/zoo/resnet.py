"""Residual networks: the CIFAR ResNet with option-A shortcuts, and one with convolutions."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class OptionA(nn.Module):
    """Shortcut without weights: every second pixel, and zeros for the new channels."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.planes = planes

    def forward(self, x: Tensor) -> Tensor:
        extra = self.planes // 4
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != planes:
            self.shortcut = (
                OptionA(planes)
                if option == "A"
                else nn.Sequential(
                    nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """He et al. (2015), 6n + 2 layers, as in akamaster/pytorch_resnet_cifar10."""

    def __init__(self, blocks: int = 3, width: int = 16, option: str = "A") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, blocks, 1, option)
        self.layer2 = self._stage(width, 2 * width, blocks, 2, option)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2, option)
        self.linear = nn.Linear(4 * width, 10)

    def _stage(self, inputs: int, planes: int, blocks: int, stride: int, option: str) -> nn.Module:
        first = BasicBlock(inputs, planes, stride, option)
        rest = [BasicBlock(planes, planes, 1, option) for _ in range(blocks - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = functional.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


def resnet20() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return CifarResNet(), (torch.randn(1, 3, 32, 32),)


def resnet_conv_shortcut() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return CifarResNet(blocks=1, option="B"), (torch.randn(1, 3, 16, 16),)
