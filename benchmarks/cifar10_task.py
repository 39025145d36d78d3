"""CIFAR-10 with two published networks, and EfficientNet-B0: the task of benchmarks/cifar10.py."""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import ClassificationTask

BATCH = 128
VALIDATION = 2000
"""Training images that only pick the best epoch; the test images are for the score alone."""
NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip


class Block20(nn.Module):
    """A residual block with the parameter-free "option A" shortcut (He et al., 2016)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.widen = 0 if stride == 1 else channels // 4

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.widen:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.widen, self.widen))
        return functional.relu(y + x)


class ResNet20(nn.Module):
    """ResNet-20 for CIFAR; inputs normalised with ImageNet's mean and deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block20(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block20(16, 32, 2), *(Block20(32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(Block20(32, 64, 2), *(Block20(64, 64, 1) for _ in range(2)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        logits: Tensor = self.linear(x)
        return logits


class ResNet8(nn.Module):
    """MLPerf Tiny's ResNet-8: TensorFlow's 'same' padding, inputs 0..255."""

    def __init__(self) -> None:
        super().__init__()
        conv, norm = nn.Conv2d, partial(nn.BatchNorm2d, eps=1e-3)
        self.c0, self.b0 = conv(3, 16, 3, padding=1), norm(16)
        self.c1, self.b1 = conv(16, 16, 3, padding=1), norm(16)
        self.c2, self.b2 = conv(16, 16, 3, padding=1), norm(16)
        self.c3, self.b3 = conv(16, 32, 3, stride=2), norm(32)
        self.c4, self.b4 = conv(32, 32, 3, padding=1), norm(32)
        self.c5 = conv(16, 32, 1, stride=2)
        self.c6, self.b5 = conv(32, 64, 3, stride=2), norm(64)
        self.c7, self.b6 = conv(64, 64, 3, padding=1), norm(64)
        self.c8 = conv(32, 64, 1, stride=2)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        relu, pad = functional.relu, functional.pad
        x = relu(self.b0(self.c0(x)))
        x = relu(x + self.b2(self.c2(relu(self.b1(self.c1(x))))))
        y = self.b4(self.c4(relu(self.b3(self.c3(pad(x, (0, 1, 0, 1)))))))
        x = relu(self.c5(x) + y)
        y = self.b6(self.c7(relu(self.b5(self.c6(pad(x, (0, 1, 0, 1)))))))
        x = relu(self.c8(x) + y)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def efficientnet_b0() -> nn.Module:
    """timm's, with ten classes."""
    model: nn.Module = importlib.import_module("timm").create_model(
        "efficientnet_b0", num_classes=len(NAMES)
    )
    return model


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet20": ResNet20,
    "resnet8": ResNet8,
    "efficientnet_b0": efficientnet_b0,
}


class Cifar10(ClassificationTask):
    classes = 10

    def __init__(self, data: str, weights: str, arch: str, test_images: int = 5000) -> None:
        self.weights, self.arch = Path(weights), arch
        parts = [_load(file) for file in sorted(Path(data).glob("cifar10_train_*.npz"))]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        self.train_images, self.train_labels = images[:-VALIDATION], labels[:-VALIDATION]
        self.validation_images, self.validation_labels = images[-VALIDATION:], labels[-VALIDATION:]
        images, labels = _load(Path(data) / "cifar10_test_dev.npz")
        self.eval_images, self.eval_labels = images[:test_images], labels[:test_images]

    def model(self) -> nn.Module:
        model = ARCHITECTURES[self.arch]()
        state = torch.load(self.weights, weights_only=True, map_location="cpu")
        state = state.get("state_dict", state)
        model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
        return model

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.normalise(self.eval_images[:1]),)

    def train_data(self) -> "Batches":
        return Batches(self)

    def calibration_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.train_images))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield self.normalise(self.train_images[chosen]), self.train_labels[chosen]

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(self.validation_images, self.validation_labels)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(self.eval_images, self.eval_labels)

    def _in_order(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(images), BATCH):
            chosen = slice(start, start + BATCH)
            yield self.normalise(images[chosen]), labels[chosen]

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, 32, 32] -> float32, at twice the size for EfficientNet."""
        if self.arch == "resnet8":
            return images.float()
        mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
        normal = (images / 255 - mean) / deviation
        if self.arch != "efficientnet_b0":
            return normal
        return functional.interpolate(normal, scale_factor=2.0, mode="bilinear")

    def labels(self) -> tuple[str, ...]:
        return NAMES


class Batches:
    """One epoch: shuffled, flipped, shifted by up to four pixels."""

    def __init__(self, task: Cifar10) -> None:
        self.task = task

    def __len__(self) -> int:
        return len(self.task.train_images) // BATCH

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.task.train_images))
        for index in range(len(self)):
            chosen = order[index * BATCH : (index + 1) * BATCH]
            images = _augment(self.task.train_images[chosen])
            yield self.task.normalise(images), self.task.train_labels[chosen]


def _augment(images: Tensor) -> Tensor:  # uint8 [N, 3, 32, 32] -> the same
    count, _, height, width = images.shape
    padded = functional.pad(images, (4, 4, 4, 4))
    rows = torch.randint(9, (count, 1, 1)) + torch.arange(height).reshape(1, -1, 1)
    columns = torch.arange(width).reshape(1, 1, -1).expand(count, 1, width)
    flipped = torch.rand(count, 1, 1) < 0.5
    columns = torch.where(flipped, width - 1 - columns, columns) + torch.randint(9, (count, 1, 1))
    sample = torch.arange(count).reshape(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)


def _load(file: Path) -> tuple[Tensor, Tensor]:
    with np.load(file, allow_pickle=False) as arrays:
        images = torch.from_numpy(arrays["x"]).permute(0, 3, 1, 2).contiguous()
        return images, torch.from_numpy(arrays["y"].astype(np.int64))
