"""What quantising leaves of a signal: the cases in which it once left nothing."""

import math
from collections.abc import Callable

import pytest
import torch
from quantizing import scheme
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.observers import Ranges
from edgecompress.compress.quantize import calibrate, forward, prepare

Inputs = tuple[Tensor, ...]


def decibels(
    model: nn.Module, inputs: Inputs, wanted: str = "uint8", ranges: Ranges = "minmax"
) -> float:
    """Signal to quantisation noise of the first output, on what it was calibrated with."""
    model.eval()
    prepared = prepare(model, tuple(x[:1] for x in inputs), scheme(wanted), ranges)
    calibrate(prepared, [(inputs if len(inputs) > 1 else inputs[0], None)])
    with torch.no_grad():
        right, found = model(*inputs), forward(prepared, inputs)
    assert bool(found.isfinite().all())
    return float(10 * torch.log10(right.square().sum() / (right - found).square().sum()))


@pytest.mark.parametrize(
    ("ranges", "count"), [("minmax", 64), ("mse", 50), ("mse", 64), ("percentile", 64)]
)
def test_columns_that_are_not_alike(ranges: Ranges, count: int) -> None:
    """A spectrogram; a strided sample of it is one column, and always the same one."""
    torch.manual_seed(0)
    x = torch.rand(count, 1, 64, 64) * 0.01
    x[..., 10:30] += 3
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1))
    assert decibels(model, (x,), ranges=ranges) > 35


class Layers(nn.Module):
    """linear -> what is tried -> linear, over [N, T, 16]."""

    def __init__(self, tried: Callable[["Layers", Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(16, 16, bias=False), nn.Linear(16, 8)
        self.gain = nn.Parameter(torch.rand(16) + 0.5)
        self.bias = nn.Parameter(torch.randn(16))
        self.tried = tried

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.tried(self, self.first(x)))


class Images(nn.Module):
    """What is tried -> convolution, over [N, 1, 16, 16]."""

    def __init__(self, tried: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.tried = nn.Conv2d(1, 4, 3), tried

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.tried(x))


class Spectrum(nn.Module):
    """A Fourier transform by convolution, bands by a matrix, a logarithm."""

    def __init__(self, logarithm: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.logarithm = logarithm
        torch.manual_seed(0)
        angle = torch.arange(17)[:, None] * torch.arange(32) * 2 * math.pi / 32
        window = torch.hann_window(32)
        self.register_buffer("cosines", (angle.cos() * window)[:, None])
        self.register_buffer("sines", (angle.sin() * window)[:, None])
        self.register_buffer("bands", torch.rand(8, 17) ** 4)
        self.conv = nn.Conv1d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = (functional.conv1d(x, w, stride=16) for w in (self.cosines, self.sines))
        return self.conv(self.logarithm(self.bands @ (a**2 + b**2)))


def centred(h: Tensor) -> Tensor:
    return h - h.mean(-1, keepdim=True)


def softmax(h: Tensor) -> Tensor:
    powers = torch.exp(h - h.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


def root(x: Tensor) -> Tensor:
    return torch.sqrt(x + 1e-6)


NORMS: dict[str, tuple[Callable[[Layers, Tensor], Tensor], ...]] = {
    "LayerNorm": (
        lambda m, h: functional.layer_norm(h, (16,), m.gain, m.bias),
        lambda m, h: centred(h) / root(centred(h).pow(2).mean(-1, keepdim=True)) * m.gain + m.bias,
        lambda m, h: (
            centred(h) * torch.rsqrt(h.var(-1, keepdim=True, unbiased=False) + 1e-6) * m.gain
            + m.bias
        ),
    ),
    "RMSNorm": (
        lambda m, h: functional.rms_norm(h, (16,), m.gain, 1e-6),
        lambda m, h: m.gain * (h * torch.rsqrt((h * h).mean(-1, keepdim=True) + 1e-6)),
        lambda m, h: h / root(h.square().mean(-1, keepdim=True)) * m.gain,
    ),
    "normalize": (
        lambda m, h: functional.normalize(h, dim=-1),
        lambda m, h: h / h.norm(dim=-1, keepdim=True),
        lambda m, h: h * torch.rsqrt(h.pow(2).sum(-1, keepdim=True) + 1e-12),
    ),
    "softmax": (
        lambda m, h: (3 * h).softmax(-1),
        lambda m, h: softmax(3 * h),
    ),
    "log_softmax": (
        lambda m, h: (3 * h).log_softmax(-1),
        lambda m, h: torch.log((3 * h).softmax(-1) + 1e-12),
        lambda m, h: 3 * h - torch.log(torch.exp(3 * h).sum(-1, keepdim=True)),
    ),
    "mish": (
        lambda m, h: functional.mish(4 * h),
        lambda m, h: (4 * h) * torch.tanh(torch.log(1 + torch.exp(4 * h))),
    ),
    "gelu": (
        lambda m, h: functional.gelu(4 * h, approximate="tanh"),
        lambda m, h: (
            2 * h * (1 + torch.tanh(0.79788456 * (4 * h + 0.044715 * torch.pow(4 * h, 3))))
        ),
    ),
}
SCHEMES = ["uint8", "int8 symmetric", "litert"]


@pytest.mark.parametrize("kind", NORMS)
def test_by_hand_is_as_good_as_the_module(kind: str) -> None:
    """Half of the tokens are ten times smaller, so that what divides them spans a wide range."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 10, 16, generator=generator)
    x[:, ::2] *= 0.1
    wanted = SCHEMES[len(kind) % 3]
    module, *by_hand = (decibels(Layers(tried), (x,), wanted) for tried in NORMS[kind])
    assert min(by_hand) > max(module - 3, 17)


STEEP: dict[str, Callable[[Tensor], Tensor]] = {
    "log": lambda x: torch.log(x + 1e-6),
    "decibels": lambda x: (10 * torch.log10(x + 1e-10) + 40) / 20,
    "log1p": lambda x: torch.log1p(1000 * x),
    "pooled": lambda x: torch.log(functional.avg_pool2d(x, 2) + 1e-6),
    "root": lambda x: root(x),
    "power": lambda x: (x + 1e-6) ** 0.3,
    "reciprocal": lambda x: 1 / (x + 0.05),
}


@pytest.mark.parametrize("kind", STEEP)
def test_small_values_before_a_steep_function_are_kept(kind: str) -> None:
    x = torch.rand(16, 1, 16, 16, generator=torch.Generator().manual_seed(1)) ** 4 * 20
    assert decibels(Images(STEEP[kind]), (x,), SCHEMES[len(kind) % 3]) > 31


@pytest.mark.parametrize(
    "logarithm", [lambda x: torch.log(x + 1e-6), lambda x: torch.log1p(1e4 * x)]
)
def test_a_spectrum_is_float_up_to_its_logarithm(logarithm: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(16, 1, 400, generator=torch.Generator().manual_seed(1))
    x *= torch.logspace(-2, 0, 16)[:, None, None]
    assert decibels(Spectrum(logarithm), (x,)) > 28


@pytest.mark.parametrize(
    "tried", [lambda h: h / (1 + h.abs()), lambda h: torch.log1p(h.relu()), lambda h: h.sigmoid()]
)
def test_a_layer_stays_in_eight_bits_where_no_small_value_matters(
    tried: Callable[[Tensor], Tensor],
) -> None:
    class Between(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(tried(self.first(x)))

    x = torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    prepared = prepare(Between().eval(), (x[:1],), scheme("uint8"), "minmax")
    weights = [f for f in observers_of(prepared.graph) if f.activation_post_process.current]
    assert len(weights) == 2
    assert decibels(Between(), (x,)) > 30
