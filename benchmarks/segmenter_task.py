"""A U-Net with MobileNetV2's blocks as its encoder, which finds the class of every pixel of drawn
shapes: the task of benchmarks/segmenter.py. It needs no data.

U-Net: Ronneberger et al., 2015; the encoder: Sandler et al., 2018, at half of its width.
"""

from collections.abc import Iterator

import torch
from drawn_shapes import CLASSES, SIDE, drawn
from mobilenetv2_task import InvertedResidual, conv_bn
from torch import Tensor, nn
from torch.nn import functional

from edgecompress import SegmentationTask

BATCH = 32
TRAINING, VALIDATION, TEST = 2000, 300, 500
# expansion, channels and blocks of each stage; the first keeps the size, the others halve it
STAGES = ((1, 8, 1), (6, 12, 2), (6, 16, 3), (6, 48, 4), (6, 80, 2))
STEM = 16
UP = (48, 32, 16, 16)


class Shapes(SegmentationTask):
    classes = CLASSES + 1  # and the ground

    def model(self) -> nn.Module:
        return UNet(self.classes)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3, SIDE, SIDE),)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, _, classes = drawn(TRAINING, 0)
        order = torch.randperm(TRAINING)
        for start in range(0, TRAINING, BATCH):
            rows = order[start : start + BATCH]
            yield images[rows], classes[rows]

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _in_order(VALIDATION, 1)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return _in_order(TEST, 2)


class UNet(nn.Module):
    """Down to a 32nd of the size; then up, each time beside what the larger size has shown."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        channels, kept = STEM, []
        self.stem = nn.Sequential(*conv_bn(3, STEM, 3, 2, 1), nn.ReLU6())
        self.down = nn.ModuleList()
        for index, (expansion, wide, blocks) in enumerate(STAGES):
            strides = [1 if index == 0 else 2, *(1 for _ in range(blocks - 1))]
            stage = nn.Sequential()
            for stride in strides:
                stage.append(InvertedResidual(channels, wide, stride, expansion))
                channels = wide
            self.down.append(stage)
            kept.append(wide)
        self.up = nn.ModuleList()
        for beside, wide in zip(reversed(kept[:-1]), UP, strict=True):
            merged = nn.Sequential(*conv_bn(channels + beside, wide, 3, 1, 1), nn.ReLU())
            self.up.append(merged)
            channels = wide
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, images: Tensor) -> Tensor:  # [N, 3, SIDE, SIDE] -> [N, classes, SIDE, SIDE]
        x = self.stem(images)
        kept = []
        for stage in self.down:
            x = stage(x)
            kept.append(x)
        for merged, beside in zip(self.up, reversed(kept[:-1]), strict=True):
            x = merged(torch.cat([larger(x), beside], 1))
        return larger(self.head(x))


def larger(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")


def _in_order(count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    images, _, classes = drawn(count, seed)
    for start in range(0, count, BATCH):
        yield images[start : start + BATCH], classes[start : start + BATCH]
