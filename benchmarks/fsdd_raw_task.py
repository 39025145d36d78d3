"""Free spoken digits from raw samples: the log-mel front end is a part of the model."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from fsdd_task import BANDS, BATCH, HOP, VALIDATION_EVERY, WINDOW, network
from torch import Tensor, nn

from edgecompress import AudioTask
from edgecompress.contract.sound import finished
from edgecompress.spec.preprocessing import AudioPreprocessing
from edgecompress.task import ExactLogMel

DECLARED = AudioPreprocessing(sampling_rate_hz=8000, samples=8000)
MIDDLE, SPREAD = 10.0, 8.0
"""Speech lies around so many octaves, and so far apart."""


class RawDigits(AudioTask):
    classes = 10
    sampling_rate_hz = DECLARED.sampling_rate_hz

    def __init__(self, data: str) -> None:
        with np.load(Path(data), allow_pickle=False) as arrays:
            offsets, audio = arrays["offsets"], arrays["audio"] / 32768
            clips = [finished(audio[None, a:b], DECLARED) for a, b in pairwise(offsets)]
            self.targets = torch.from_numpy(arrays["y"].astype(np.int64))
            test = torch.from_numpy(arrays["is_test"].astype(bool))
        self.clips = torch.from_numpy(np.concatenate(clips).astype(np.float32))
        known = (~test).nonzero()[:, 0]
        self.test = test.nonzero()[:, 0]
        self.validation = known[::VALIDATION_EVERY]
        self.train = known[(torch.arange(len(known)) % VALIDATION_EVERY) != 0]

    def model(self) -> nn.Module:
        return Net()

    def preprocessing(self) -> AudioPreprocessing:
        return DECLARED

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.clips[:1],)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self.train[torch.randperm(len(self.train))]
        for chosen in torch.split(order, BATCH):
            # Earlier or later by up to 0.1 s.
            shift = int(torch.randint(-800, 801, ()))
            yield self.clips[chosen].roll(shift, dims=1), self.targets[chosen]

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(self.validation)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(self.test)

    def _in_order(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.split(rows, BATCH):
            yield self.clips[chosen], self.targets[chosen]

    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, range(10)))


class Net(nn.Module):
    """Samples in, scores of ten digits out; `front` is kept in float."""

    def __init__(self) -> None:
        super().__init__()
        front = ExactLogMel(DECLARED.sampling_rate_hz, BANDS, WINDOW, HOP)
        self.front = nn.Sequential(front, Centred())
        self.body = network()

    def forward(self, clips: Tensor) -> Tensor:
        scores: Tensor = self.body(self.front(clips))
        return scores


class Centred(nn.Module):
    """Octaves to about -1 to 1, of which none is rounded."""

    def forward(self, octaves: Tensor) -> Tensor:
        return (octaves - MIDDLE) * (1 / SPREAD)
