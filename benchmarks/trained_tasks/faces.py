"""MTCNN's O-Net (facenet-pytorch) on 100 faces and 100 other pictures: face or not."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from packaged import Data, batches, folder_of, module_from
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import BinaryAccuracy

from edgecompress import Task
from edgecompress.task import Metric

SIZE = 48


@cache
def _module() -> Any:
    path = folder_of("facenet_pytorch") / "models" / "mtcnn.py"
    source = path.read_text()
    # What follows the three networks needs torchvision.
    source = source[: source.index("class MTCNN(")]
    source = "\n".join(line for line in source.splitlines() if "detect_face" not in line)
    return module_from("mtcnn_networks", path, source)


class Faces(Task):
    """O-Net gives corrections of a box, landmarks, and whether it is a face: that is scored."""

    def model(self) -> nn.Module:
        model: nn.Module = _module().ONet(pretrained=False)
        weights = folder_of("facenet_pytorch") / "data" / "onet.pt"
        model.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
        return model.eval()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3, SIZE, SIZE),)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        (images,), target = self._data(odd=True)
        order = torch.randperm(len(target))
        return batches(((images[order],), target[order]), 12)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(self._data(odd=False), 20)

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        return functional.nll_loss(outputs[2].clamp_min(1e-6).log(), target)

    def metric(self) -> Metric:
        return BinaryAccuracy()

    def update(self, metric: Any, outputs: Any, target: Tensor) -> None:
        metric.update(outputs[2].argmax(1), target)

    def _data(self, *, odd: bool) -> Data:
        path = folder_of("skimage") / "data" / "lfw_subset.npy"
        images = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
        images = images * 255 if images.max() <= 1 else images
        images = functional.interpolate(images[:, None], (SIZE, SIZE), mode="bilinear")
        images = ((images - 127.5) / 128).expand(-1, 3, -1, -1).contiguous()
        target = torch.cat([torch.ones(100), torch.zeros(100)]).long()
        chosen = slice(1 if odd else 0, None, 2)
        return (images[chosen],), target[chosen]
