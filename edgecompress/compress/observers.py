"""How ranges become scales: one observer for calibration, for QAT, and for weights."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torchao.quantization.pt2e import FakeQuantize
from torchao.quantization.pt2e.observer import ObserverBase

Ranges = Literal["minmax", "percentile", "mse"]

_PERCENTILE = 0.9999
_SAMPLE = 1 << 14
_SHRINK = tuple(1.0 - 0.7 * i / 24 for i in range(25))
_MOVING_AVERAGE = 0.01
_SMALLEST_SCALE = 1e-8  # keeps a constant-zero tensor from dividing by nothing


class RangeObserver(ObserverBase):
    """Keeps [min, max] of what it sees and turns it into scale and zero_point.

    One observer may see several tensors of a run (those that share a scale): it takes the widest.
    During calibration minmax keeps the widest range seen, and percentile and mse average those of
    the batches; during training all follow by a moving average. Weights (`current=True`) have
    just the range they have now.

    Args:
        dtype, qscheme, quant_min, quant_max, ch_axis: as torchao's own observers.
        ranges: minmax: all values fit. percentile: 0.01 % may saturate on either side. mse: the
            range, out of 25 shrunken ones, with the least squared error (as in Banner et al.,
            2019, by search).
        scales: power_of_two rounds a scale up to 2^-p, so that w' = round(w * 2^p).
        limit: largest magnitude of a symmetric integer; below quant_max where the CPU's int8
            kernels add products in 16 bits.
        current: for weights.
        bounded: the values are from 0 to 1, and the step is 1 / 256 (symmetric: 1 / 128).

    """

    min_val: Tensor
    max_val: Tensor
    batches: Tensor

    def __init__(
        self,
        *,
        dtype: torch.dtype,
        qscheme: torch.qscheme,
        quant_min: int,
        quant_max: int,
        ch_axis: int = -1,
        ranges: Ranges = "minmax",
        scales: Literal["free", "power_of_two"] = "free",
        limit: int = 127,
        current: bool = False,
        bounded: bool = False,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype, is_dynamic)
        self.qscheme = qscheme
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.ch_axis = ch_axis
        self.ranges = ranges
        self.scales = scales
        self.limit = limit
        self.current = current
        self.bounded = bounded
        self.following = False
        self.in_graph = False
        self.same_run = False
        self._seen = (torch.tensor(0.0), torch.tensor(0.0))
        self._before = (*self._seen, 0)
        self.eps = _SMALLEST_SCALE
        top = 1 - 1 / (limit + 1 if self.symmetric else quant_max - quant_min + 1)
        self.register_buffer("min_val", torch.tensor(0.0 if bounded else float("inf")))
        self.register_buffer("max_val", torch.tensor(top if bounded else float("-inf")))
        self.register_buffer("batches", torch.tensor(0))

    @property
    def symmetric(self) -> bool:
        return self.qscheme in (torch.per_tensor_symmetric, torch.per_channel_symmetric)

    def forward(self, x: Tensor) -> Tensor:
        validating = self.following and not self.training and not self.current
        if self.bounded or x.numel() == 0 or validating:
            return x  # validation data must not move the ranges
        with torch.no_grad():
            low, high = self._range(x.detach().float())
            if not self.current:
                low, high = self._blend(*self._union(low, high))
            self.min_val, self.max_val = low, high
        return x

    def _union(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """With what it has seen since the graph began to run: tensors that share a scale."""
        if self.same_run:
            low, high = torch.minimum(low, self._seen[0]), torch.maximum(high, self._seen[1])
        else:
            self._before = (self.min_val, self.max_val, int(self.batches))
            self.batches += 1
            self.same_run = self.in_graph
        self._seen = (low, high)
        return low, high

    def _blend(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """With what it had seen before."""
        old_low, old_high, batches = self._before
        if batches == 0:
            return low, high
        if self.ranges == "minmax" and not self.following:
            return torch.minimum(low, old_low), torch.maximum(high, old_high)
        weight = _MOVING_AVERAGE if self.following else 1.0 / (batches + 1)
        return torch.lerp(old_low, low, weight), torch.lerp(old_high, high, weight)

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero_point), one per channel or of one element."""
        return self._qparams(self.min_val.reshape(-1), self.max_val.reshape(-1))

    def _range(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.ch_axis >= 0:
            rows = x.transpose(0, self.ch_axis).flatten(1)
            return rows.amin(1), rows.amax(1)
        if self.ranges == "minmax" or self.current:
            low, high = torch.aminmax(x)
            return low, high
        values = x.flatten()
        # A strided sample: deterministic, and quantile() sorts.
        values = values[:: max(1, values.numel() // _SAMPLE)]
        if self.ranges == "percentile":
            bounds = torch.tensor([1 - _PERCENTILE, _PERCENTILE])
            low, high = torch.quantile(values, bounds)
            return low, high
        return self._least_squares(values)

    def _least_squares(self, values: Tensor) -> tuple[Tensor, Tensor]:
        low, high = torch.aminmax(values)
        shrink = torch.tensor(_SHRINK)
        lows, highs = low * shrink, high * shrink
        scale, zero_point = self._qparams(lows, highs)
        integers = torch.round(values / scale[:, None]) + zero_point[:, None]
        integers = integers.clamp(self._lowest, self._highest)
        error = ((integers - zero_point[:, None]) * scale[:, None] - values).square().sum(1)
        best = int(error.argmin())
        return lows[best], highs[best]

    @property
    def _lowest(self) -> int:
        return -self.limit if self.symmetric else self.quant_min

    @property
    def _highest(self) -> int:
        return self.limit if self.symmetric else self.quant_max

    def _qparams(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        # Zero must be exact: padding, ReLU and pruned channels depend on it.
        low = torch.where(low.isfinite(), low, 0).clamp(max=0)
        high = torch.where(high.isfinite(), high, 0).clamp(min=0)
        if self.symmetric:
            scale = torch.maximum(-low, high) / self.limit
        else:
            scale = (high - low) / (self.quant_max - self.quant_min)
        scale = scale.clamp(min=_SMALLEST_SCALE)
        if self.scales == "power_of_two":
            scale = torch.exp2(torch.ceil(torch.log2(scale)))
        if self.symmetric:
            zero_point = torch.zeros_like(scale)
        else:
            zero_point = self.quant_min - torch.round(low / scale)
        return scale, zero_point.clamp(self.quant_min, self.quant_max).to(torch.int32)


class AdjustedFakeQuantize(FakeQuantize):
    """Uses another scale than the range would have, where somebody chooses it."""

    adjust: Callable[[Tensor], Tensor] | None = None

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        scale, zero_point = super().calculate_qparams()
        return scale if self.adjust is None else self.adjust(scale), zero_point


def observers_of(model: torch.nn.Module) -> list[FakeQuantize]:
    """Every fake-quantize module of a prepared graph."""
    return [m for m in model.modules() if isinstance(m, FakeQuantize)]


def tell_of_runs(graph: torch.nn.Module) -> None:
    """From here on the graph's observers know when a new run of it begins."""
    for fake_quantize in observers_of(graph):
        fake_quantize.activation_post_process.in_graph = True
    graph.register_forward_pre_hook(_new_run)


def _new_run(graph: torch.nn.Module, _: object) -> None:
    for fake_quantize in observers_of(graph):
        fake_quantize.activation_post_process.same_run = False


def set_phase(
    model: torch.nn.Module, phase: Literal["calibrate", "train", "frozen", "float"]
) -> None:
    """calibrate: observe only. train: observe (moving average) and quantise. frozen: quantise
    with the ranges as they are; weights keep following themselves. float: neither.
    """
    for fake_quantize in observers_of(model):
        observer = fake_quantize.activation_post_process
        observer.following = phase == "train"
        follows_itself = observer.current and phase == "frozen"
        fake_quantize.enable_observer(phase in ("calibrate", "train") or follows_itself)
        fake_quantize.enable_fake_quant(phase in ("train", "frozen"))
        if phase == "frozen" and not observer.current:
            # One that follows another's scale may have seen it before that other saw its last
            # tensor of the run. These are in graph order.
            _settle(fake_quantize)


def _settle(fake_quantize: FakeQuantize) -> None:
    scale, zero_point = fake_quantize.calculate_qparams()
    if scale.shape == fake_quantize.scale.shape:  # else it has seen nothing yet
        fake_quantize.scale.copy_(scale)
        fake_quantize.zero_point.copy_(zero_point)
