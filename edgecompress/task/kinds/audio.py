"""One label for each clip of sound, and a front end that goes into the file."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from edgecompress.task.base import ClassificationTask

_LEVELS, _BYTE = 1 << 15, 1 << 7
_WHOLE = 1 << 24
"""Up to here float32 has every whole number."""
_SMALLER = 13 / 32
_FIRST_OCTAVE, _OCTAVES = 1, 24
_STEPS = 1 << 10
"""So many are there of an octave."""


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
    float32_only = True
    """Energies of loud sounds are beyond float16, and those of quiet ones vanish in it."""

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


class ExactLogMel(nn.Module):
    """A log-mel front end that every runtime computes alike, to the last bit: all sums are of whole
    numbers so small that float32 holds them in whatever order they are added, and all else is one
    operation of IEEE 754's at a time. Where an int8 network follows, its integers are then the same
    from raw samples on. It costs two convolutions in place of one.

    The size of a frequency is that of its larger part and 13/32 of the smaller, which is within
    7 % of the root of their squares; the logarithm is of base 2, and straight between two powers.
    """

    sines: Tensor
    filters: Tensor
    octaves: Tensor
    float32_only = True
    """float16 has whole numbers to 2048 only."""

    def __init__(
        self, sampling_rate_hz: int, bands: int = 40, window: int = 256, hop: int = 128
    ) -> None:
        """Frames are of `window` samples under a Hann window, one every `hop` samples."""
        super().__init__()
        self.hop = hop
        sines, filters = _sines(window), _filters(sampling_rate_hz, bands, window)
        self.waves_in = _finest(float(sines.abs().sum(dim=(1, 2)).max()) * _BYTE)
        self.register_buffer("sines", (sines * self.waves_in).trunc())
        # No frequency is louder than all samples at full scale.
        loudest = _LEVELS * float(sines.abs().sum(dim=(1, 2)).max()) * (1 + _SMALLER)
        self.part = 2.0 ** math.ceil(math.log2(loudest) / 2)
        self.bands_in = _finest(float(filters.sum(dim=1).max()) * self.part)
        self.register_buffer("filters", (filters * self.bands_in).trunc())
        powers = torch.arange(_FIRST_OCTAVE, _FIRST_OCTAVE + _OCTAVES)
        self.register_buffer("octaves", (2.0**-powers)[:, None, None])

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [N, samples] of -1 .. 1, in steps of 16 bits, give
        [N, 1, bands, (samples - window) // hop + 1]: how many octaves each band is above 2 or more
        steps, from 0 to 24.
        """
        levels = (clips * _LEVELS + 0.5).floor().clamp(-_LEVELS, _LEVELS - 1)[:, None]
        # The two bytes of a sample, both with a sign.
        high = (levels * (1 / 256) + 0.5).floor()
        low = levels - high * 256
        parts = self._waves(high) * 256 + self._waves(low)
        real, imaginary = (parts * (1 / self.waves_in)).abs().chunk(2, dim=1)
        larger, smaller = torch.maximum(real, imaginary), torch.minimum(real, imaginary)
        size = (larger + smaller * _SMALLER).floor()
        above = (size * (1 / self.part)).floor()
        below = size - above * self.part
        bands = (self.filters @ above) * self.part + self.filters @ below
        # Each octave that it is above counts one, and the one that it is in what it reaches of it.
        reached = (bands[:, None] * (1 / self.bands_in) * self.octaves - 1).clamp(0, 1)
        return (reached * _STEPS).floor().sum(dim=1, keepdim=True) * (1 / _STEPS)

    def _waves(self, samples: Tensor) -> Tensor:
        return nn.functional.conv1d(samples, self.sines, stride=self.hop)


def _finest(largest: float) -> float:
    """The highest power of two that a sum may be multiplied by and stay a whole number of float32:
    what rounds is cut off, so that it gets no larger.
    """
    return float(2.0 ** math.floor(math.log2(_WHOLE / largest)))


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
