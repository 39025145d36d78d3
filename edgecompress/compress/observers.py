"""How ranges become scales: one observer for calibration, for QAT, and for weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torchao.quantization.pt2e.observer import ObserverBase

from edgecompress.compress.histogram import Histogram
from edgecompress.compress.ranges import Grid, Grids, Range, least_squares, percentile

Ranges = Literal["minmax", "percentile", "mse", "auto"]
Phase = Literal["calibrate", "train", "frozen", "float"]
"""calibrate: observe only. train: observe (moving average) and quantise. frozen: quantise with the
ranges as they are; weights keep following themselves. float: neither."""

_MOVING_AVERAGE = 0.01
_SMALLEST_SCALE = 1e-8  # keeps a constant-zero tensor from dividing by nothing
_CHOICES: dict[str, Callable[[Histogram, Range, Grids], Range]] = {
    "percentile": percentile,
    "mse": least_squares,
    "auto": least_squares,  # until `choose_by` says which
}


@dataclass(frozen=True)
class RangeChoice:
    """How a range follows from what was seen.

    Args:
        ranges: minmax: all values fit. percentile: 0.01 % may saturate on either side. mse: the
            range with the least squared error. See compress.ranges. auto: see
            compress.choose_ranges.
        scales: power_of_two rounds a scale up to 2^-p, so that w' = round(w * 2^p).
        limit: largest magnitude of a symmetric integer; below quant_max where the CPU's int8
            kernels add products in 16 bits.
        current: for weights.
        bounded: the values are from 0 to 1, and the step is 1 / 256 (symmetric: 1 / 128).

    """

    ranges: Ranges = "minmax"
    scales: Literal["free", "power_of_two"] = "free"
    limit: int = 127
    current: bool = False
    bounded: bool = False


ALL_FIT = RangeChoice()


@dataclass
class SharedRun:
    """What all observers of one graph know together. `CalibrationRun` alone changes it."""

    phase: Phase = "calibrate"
    number: int = 0
    """How often the graph was run."""


class RangeObserver(ObserverBase):
    """Keeps what it sees and turns it into a range, that into scale and zero_point.

    One observer may see several tensors of a run (those that share a scale); their values count as
    those of one. In calibration all values of all batches count alike, and the range is chosen
    from them at its end. In training it starts from there, and follows the ranges
    of batches, chosen in the same way, by a moving average. Weights (`current=True`) have just the
    range they have now. Values that are not finite do not count.

    Args:
        dtype, qscheme: as torchao's own observers have them.
        choice: how the range is chosen.
        integers: quant_min, quant_max, ch_axis and is_dynamic, as torchao's own observers have
            them.

    """

    min_val: Tensor
    max_val: Tensor

    def __init__(
        self,
        *,
        dtype: torch.dtype,
        qscheme: torch.qscheme,
        choice: RangeChoice = ALL_FIT,
        **integers: int,
    ) -> None:
        super().__init__(dtype, bool(integers.get("is_dynamic", False)))
        self.qscheme = qscheme
        self.quant_min, self.quant_max = integers["quant_min"], integers["quant_max"]
        self.ch_axis = integers.get("ch_axis", -1)
        self.ranges: Ranges = choice.ranges
        self.scales = choice.scales
        self.limit = choice.limit
        self.current = choice.current
        self.bounded = choice.bounded
        self.run: SharedRun | None = None
        """That of the graph; None: it belongs to none, and chooses a range from each tensor."""
        self._followed_run = -1
        self._whole: Range | None = None
        self._histogram: Histogram | None = None
        self._chosen = True
        self.eps = _SMALLEST_SCALE
        levels = self.limit if self.symmetric else self.quant_max - self.quant_min
        low, high = (0.0, 1 - 1 / (levels + 1)) if self.bounded else (math.inf, -math.inf)
        self.register_buffer("min_val", torch.tensor(low))
        self.register_buffer("max_val", torch.tensor(high))
        self._before = (self.min_val, self.max_val)

    @property
    def symmetric(self) -> bool:
        return self.qscheme in (torch.per_tensor_symmetric, torch.per_channel_symmetric)

    def forward(self, x: Tensor) -> Tensor:
        following = self.run is not None and self.run.phase == "train"
        validating = following and not self.training and not self.current
        if self.bounded or x.numel() == 0 or validating:
            return x  # validation data must not move the ranges
        with torch.no_grad():
            values = x.detach().float()
            if self.current:
                self.min_val, self.max_val = self._extremes(values)
                return x
            if self.run is not None and following and self._followed_run != self.run.number:
                # What calibration saw has been chosen from; from here on, run by run.
                self.forget()
                self._before = (self.min_val, self.max_val)
                self._followed_run = self.run.number
            self._count(values)
            if following:
                self._follow()
            elif self.run is None:
                self.choose()  # a graph's observers are asked once, when calibration ends
        return x

    def forget(self) -> None:
        """Let what it sees next be the first that it sees; the range stays until then."""
        self.choose()
        self._whole = self._histogram = None

    def choose(self) -> None:
        """Turn all that it has seen into min_val and max_val."""
        if not self._chosen:
            low, high = self._range()
            self.min_val, self.max_val = low.clone(), high.clone()
            self._chosen = True

    def choose_by(self, ranges: Ranges) -> None:
        """Choose from what it has seen in another way, and go on so. All that is counted in a
        histogram can be chosen from in every way.
        """
        self.ranges = ranges
        self._chosen = self._whole is None

    def _count(self, values: Tensor) -> None:
        low, high = self._extremes(values)
        if not (low.isfinite() and high.isfinite()):
            values = values[values.isfinite()]
            if values.numel() == 0:
                return
            low, high = self._extremes(values)
        if self._whole is not None:
            low, high = torch.minimum(low, self._whole[0]), torch.maximum(high, self._whole[1])
        self._whole = (low, high)
        if self.ranges in _CHOICES:
            new = Histogram.of(values)
            self._histogram = new if self._histogram is None else self._histogram.merged(new)
        self._chosen = False

    def _follow(self) -> None:
        """Move the range by a moving average, from where it was before this run."""
        self.choose()
        (low, high), (old_low, old_high) = (self.min_val, self.max_val), self._before
        if old_low.isfinite():  # else it had no range yet, and neither end of one
            self.min_val = torch.lerp(old_low, low, _MOVING_AVERAGE)
            self.max_val = torch.lerp(old_high, high, _MOVING_AVERAGE)

    def _extremes(self, x: Tensor) -> Range:
        """The least and the largest value, of each channel where there is an axis of them."""
        if self.ch_axis >= 0:
            rows = x.transpose(0, self.ch_axis).flatten(1)
            return rows.amin(1), rows.amax(1)
        low, high = torch.aminmax(x)
        return low, high

    def _range(self) -> Range:
        assert self._whole is not None
        choice = _CHOICES.get(self.ranges)
        if choice is None or self._histogram is None:
            return self._whole
        # A search of few numbers in float64, which some devices do not have.
        seen, device = self._histogram, self._whole[0].device
        whole = (self._whole[0].cpu(), self._whole[1].cpu())
        low, high = choice(Histogram(seen.bins.cpu(), seen.counts.cpu()), whole, self._grid)
        return low.to(device), high.to(device)

    def _grid(self, low: Tensor, high: Tensor) -> Grid:
        scale, zero_point = self._qparams(low.float(), high.float())
        lowest = -self.limit if self.symmetric else self.quant_min
        highest = self.limit if self.symmetric else self.quant_max
        step, zero = scale.double(), zero_point.double()
        return Grid(step, zero, (lowest - zero) * step, (highest - zero) * step)

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero_point), one per channel or of one element."""
        self.choose()
        return self._qparams(self.min_val.reshape(-1), self.max_val.reshape(-1))

    def allowed(self, scale: Tensor) -> Tensor:
        """The scale of that kind which is next, and not smaller."""
        scale = scale.clamp(min=_SMALLEST_SCALE)
        if self.scales == "power_of_two":
            scale = torch.exp2(torch.ceil(torch.log2(scale)))
        return scale

    def _qparams(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        # Zero must be exact: padding, ReLU and pruned channels depend on it.
        low = torch.where(low.isfinite(), low, 0).clamp(max=0)
        high = torch.where(high.isfinite(), high, 0).clamp(min=0)
        if self.symmetric:
            scale = torch.maximum(-low, high) / self.limit
        else:
            scale = (high - low) / (self.quant_max - self.quant_min)
        scale = self.allowed(scale)
        if self.symmetric:
            zero_point = torch.zeros_like(scale)
        else:
            zero_point = self.quant_min - torch.round(low / scale)
        return scale, zero_point.clamp(self.quant_min, self.quant_max).to(torch.int32)
