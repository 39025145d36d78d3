"""One label for each clip of sound, and a front end that goes into the file."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from edgecompress.task.base import ClassificationTask


class AudioTask(ClassificationTask):
    """Inputs are clips [N, samples] float32, -1 .. 1; all else is as in a classification. A model
    that begins with a `LogMel` takes samples on the device as well, so nobody there has to repeat
    what training did.
    """

    @property
    @abstractmethod
    def sampling_rate_hz(self) -> int:
        """Samples a second, of all clips."""


class LogMel(nn.Module):
    """Log energies of bands that are equally wide on the mel scale (HTK's), as a picture.

    It is a convolution with windowed sines and cosines, squares, and a matrix: any runtime has
    that. Keep it in float (`quantize.keep_float`), because eight bits do not hold energies.
    """

    sines: Tensor
    filters: Tensor

    def __init__(
        self, sampling_rate_hz: int, bands: int = 40, window: int = 256, hop: int = 128
    ) -> None:
        """Frames are of `window` samples under a Hann window, one every `hop` samples."""
        super().__init__()
        self.hop = hop
        self.floor = 1e-6
        self.register_buffer("sines", _sines(window))
        self.register_buffer("filters", _filters(sampling_rate_hz, bands, window))

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [N, samples] give [N, 1, bands, (samples - window) // hop + 1]."""
        parts = nn.functional.conv1d(clips[:, None], self.sines, stride=self.hop)
        real, imaginary = parts.chunk(2, dim=1)
        energies = self.filters @ (real * real + imaginary * imaginary)
        return (energies + self.floor).log()[:, None]


def _sines(window: int) -> Tensor:
    """[2 * (window // 2 + 1), 1, window]: cosines, then sines, of all frequencies of a frame."""
    places = torch.arange(window, dtype=torch.float64)
    angles = 2 * math.pi * torch.arange(window // 2 + 1, dtype=torch.float64)[:, None] / window
    hann = torch.hann_window(window, dtype=torch.float64)
    waves = torch.cat([(angles * places).cos(), (angles * places).sin()])
    return (waves * hann).float()[:, None]


def _filters(sampling_rate_hz: int, bands: int, window: int) -> Tensor:
    """[bands, window // 2 + 1]: triangles, each from the middle of the last to that of the next."""
    top = 2595 * math.log10(1 + sampling_rate_hz / 2 / 700)
    mels = torch.linspace(0, top, bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.linspace(0, sampling_rate_hz / 2, window // 2 + 1, dtype=torch.float64)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()
