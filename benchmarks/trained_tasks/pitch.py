"""CREPE tiny (torchcrepe) on frames of spoken digits: the pitch of a voice."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaged import Data, batches, folder_of, module_from, spoken
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import BinaryAccuracy

from edgecompress import Task
from edgecompress.task import Metric

FRAME = 1024
LOUD = 0.03
"""Root mean square of a frame that is taken for voiced."""
NEAR_CENTS = 50
BINS, CENTS_PER_BIN = 360, 20


@cache
def _module() -> Any:
    path = folder_of("torchcrepe") / "model.py"
    # Its only import is its own package, for one number.
    source = path.read_text().replace("torchcrepe.PITCH_BINS", str(BINS))
    lines = (line for line in source.splitlines() if line.strip() != "import torchcrepe")
    return module_from("crepe_model", path, "\n".join(lines))


def network() -> nn.Module:
    model: nn.Module = _module().Crepe("tiny")
    weights = folder_of("torchcrepe") / "assets" / "tiny.pth"
    model.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    return model.eval()


def cents(scores: Tensor) -> Tensor:
    """Pitch [N] of scores [N, 360]: the mean over nine bins round the best."""
    around = (scores.argmax(1)[:, None] + torch.arange(-4, 5)).clamp(0, BINS - 1)
    weight = torch.gather(scores, 1, around)
    return (weight * around * CENTS_PER_BIN).sum(1) / weight.sum(1)


class Pitch(Task):
    """Share of the frames whose pitch is within 50 cents of the float network's."""

    def __init__(self, data: str) -> None:
        self.path = Path(data)

    def model(self) -> nn.Module:
        return network()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, FRAME),)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(_data(self.path, test=False, count=256), 32)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(_data(self.path, test=True, count=256), 32)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(cents(outputs), target)

    def metric(self) -> Metric:
        return BinaryAccuracy()

    def update(self, metric: Any, outputs: Tensor, target: Tensor) -> None:
        near = ((cents(outputs) - target).abs() <= NEAR_CENTS).long()
        metric.update(near, torch.ones_like(near))


@cache
def _data(path: Path, *, test: bool, count: int) -> Data:
    frames: list[Tensor] = []
    for clip in spoken(path, test=test):
        for start in range(0, len(clip) - FRAME, FRAME):
            frame = clip[start : start + FRAME]
            if np.sqrt((frame**2).mean()) > LOUD:
                normal = (frame - frame.mean()) / max(1e-10, frame.std(ddof=1))
                frames.append(torch.from_numpy(normal))
        if len(frames) >= count:
            break
    inputs = torch.stack(frames[:count])
    with torch.no_grad():
        return (inputs,), cents(network()(inputs))
