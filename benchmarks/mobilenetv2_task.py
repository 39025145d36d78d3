"""MobileNetV2-1.0 at 224 with random weights and random data: speed is what it shows."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgecompress import ClassificationTask

BATCH = 8
# expansion, channels, blocks, stride of the first (Sandler et al., 2018, table 2)
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [] if expansion == 1 else [*conv_bn(inputs, hidden, 1, 1, 1), nn.ReLU6()]
        self.body = nn.Sequential(
            *widen,
            *conv_bn(hidden, hidden, 3, stride, hidden),
            nn.ReLU6(),
            *conv_bn(hidden, outputs, 1, 1, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H', W']
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = [*conv_bn(3, 32, 3, 2, 1), nn.ReLU6()]
        channels = 32
        for expansion, outputs, blocks, stride in STAGES:
            for block in range(blocks):
                first = stride if block == 0 else 1
                layers.append(InvertedResidual(channels, outputs, first, expansion))
                channels = outputs
        self.features = nn.Sequential(*layers, *conv_bn(channels, 1280, 1, 1, 1), nn.ReLU6())
        self.classifier = nn.Linear(1280, classes)

    def forward(self, images: Tensor) -> Tensor:  # [N, 3, 224, 224] -> [N, classes]
        scores: Tensor = self.classifier(self.features(images).mean((2, 3)))
        return scores


class RandomImages(ClassificationTask):
    """Labels are what the float model says: the metric is how often int8 agrees with it."""

    classes = 1000

    def model(self) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = MobileNetV2(self.classes)
            # Fresh batch norms are an identity; with these, activations stay in one range.
            model.train()
            for _ in range(3):
                model(torch.randn(BATCH, 3, 224, 224))
        return model.eval()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (next(_images(1, 1))[:1],)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._labelled(seed=2, batches=2)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._labelled(seed=3, batches=2)

    def _labelled(self, seed: int, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
        model = self.model()
        for images in _images(seed, batches):
            with torch.no_grad():
                yield images, model(images).argmax(1)


def _images(seed: int, batches: int) -> Iterator[Tensor]:  # [8, 3, 224, 224] float32
    generator = torch.Generator().manual_seed(seed)
    for _ in range(batches):
        # Blots of colour: noise alone averages out, and all images would look the same.
        coarse = torch.randn(BATCH, 3, 7, 7, generator=generator)
        yield nn.functional.interpolate(coarse, size=(224, 224), mode="bilinear")
