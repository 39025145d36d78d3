"""Free spoken digits, a small depthwise-separable network: the task of benchmarks/fsdd.py."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgecompress import ClassificationTask

BATCH = 64
RATE_HZ, SAMPLES = 8000, 8000
WINDOW, HOP, BANDS = 256, 128, 32
VALIDATION_EVERY = 10
"""Every so many training recordings, one picks the best epoch instead."""


class SpokenDigits(ClassificationTask):
    classes = 10

    def __init__(self, data: str) -> None:
        with np.load(Path(data), allow_pickle=False) as arrays:
            offsets, audio = arrays["offsets"], arrays["audio"]
            clips = [_fitted(audio[a:b]) for a, b in pairwise(offsets)]
            self.targets = torch.from_numpy(arrays["y"].astype(np.int64))
            test = torch.from_numpy(arrays["is_test"].astype(bool))
        self.images = log_mel(torch.stack(clips))
        known = (~test).nonzero()[:, 0]
        self.test = test.nonzero()[:, 0]
        self.validation = known[::VALIDATION_EVERY]
        self.train = known[(torch.arange(len(known)) % VALIDATION_EVERY) != 0]

    def model(self) -> nn.Module:
        return network()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.images[:1],)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self.train[torch.randperm(len(self.train))]
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            # Earlier or later by up to six frames, 0.1 s.
            shift = int(torch.randint(-6, 7, ()))
            yield self.images[chosen].roll(shift, dims=3), self.targets[chosen]

    def validation_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(self.validation)

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._in_order(self.test)

    def _in_order(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            yield self.images[chosen], self.targets[chosen]

    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, range(10)))


def network() -> nn.Sequential:
    """From a picture of log energies [N, 1, BANDS, frames] to scores of ten digits."""
    return nn.Sequential(
        *_conv(1, 32, 3, stride=2),
        *_separable(32, 48),
        *_separable(48, 64, stride=2),
        *_separable(64, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def log_mel(clips: Tensor) -> Tensor:  # [N, SAMPLES] -> [N, 1, BANDS, frames]
    """Log energies of bands that are equally wide on the mel scale, scaled to about -1 to 1."""
    spectrum = torch.stft(
        clips, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True
    ).abs()
    energies = torch.log(_mel_filters() @ spectrum.square() + 1e-6)
    return ((energies - energies.mean()) / (2 * energies.std()))[:, None]


def _mel_filters() -> Tensor:  # [BANDS, WINDOW // 2 + 1]
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, float(top), BANDS + 2) / 2595) - 1)
    bins = torch.linspace(0, RATE_HZ / 2, WINDOW // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0)


def _fitted(clip: NDArray[np.int16]) -> Tensor:
    """The first second, or padded to it, in -1..1."""
    fitted = torch.zeros(SAMPLES)
    part = torch.from_numpy(clip[:SAMPLES].astype(np.float32)) / 32768
    fitted[: len(part)] = part
    return fitted


def _conv(
    channels_in: int, channels: int, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(
        channels_in, channels, size, stride, size // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]


def _separable(channels_in: int, channels: int, stride: int = 1) -> list[nn.Module]:
    depthwise = _conv(channels_in, channels_in, 3, stride=stride, groups=channels_in)
    return [*depthwise, *_conv(channels_in, channels, 1)]
