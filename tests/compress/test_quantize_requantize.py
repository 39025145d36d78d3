"""Scales with which every way of rounding a sum gives the same integer."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantizing import batch, calibrated, scheme
from torch import Tensor, nn
from torchao.quantization.pt2e import FakeQuantize
from torchao.quantization.pt2e.observer import MinMaxObserver
from zoo.catalogue import build
from zoo.parts import image

from edgecompress.compress.folding import FoldingFakeQuantize
from edgecompress.compress.observers import AdjustedFakeQuantize, observers_of
from edgecompress.compress.quantize import calibrate, prepare
from edgecompress.compress.requantize import MeanWithoutTies, WithoutTies

Sums = NDArray[np.int64]
SCALES = st.floats(2.0**-12, 2.0, width=32)


def with_scale(scale: float) -> FakeQuantize:
    fake_quantize = FakeQuantize(MinMaxObserver)
    fake_quantize.scale.fill_(scale)
    return fake_quantize


def float_kernel(sums: Sums, multiplier: float) -> Sums:
    """As XNNPACK and ONNX Runtime: one product in float32, ties to even."""
    return np.rint(sums.astype(np.float32) * np.float32(multiplier)).astype(np.int64)


def fixed_point_kernel(sums: Sums, multiplier: float) -> Sums:
    """As gemmlowp, and so LiteRT's reference kernels: rounded to 31 bits, then shifted."""
    fraction, exponent = np.frexp(multiplier)
    product = sums * round(float(fraction) * 2**31)
    high = (product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))) // (1 << 31)
    # gemmlowp divides towards zero.
    high += (high < 0) & (
        (product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))) % (1 << 31) != 0
    )
    shift = -int(exponent)
    mask = (1 << shift) - 1
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0))


def sums_near_ties(per_step: int, largest: int = 255) -> Sums:
    steps = np.arange(-largest, largest)
    ties = ((2 * steps + 1) * per_step) // 2
    return np.unique((ties[:, None] + np.arange(-2, 4)).reshape(-1))


@settings(max_examples=300, deadline=None)
@given(before=SCALES, after=SCALES, per_step=st.floats(9.5, 8000))
def test_all_kernels_round_alike(before: float, after: float, per_step: float) -> None:
    wanted = torch.tensor([after / before / per_step], dtype=torch.float32)
    adjust = WithoutTies(with_scale(before), with_scale(after))
    scale = adjust(wanted)
    multiplier = float(np.float64(before) * scale.double().item() / np.float64(after))
    odd = round(1 / multiplier)
    assert odd % 2 == 1
    assert 1 <= scale.item() / wanted.item() <= 1.25 + 2 / odd

    sums = sums_near_ties(odd)
    exact = np.array([round(Fraction(int(x), odd)) for x in sums])
    np.testing.assert_array_equal(float_kernel(sums, multiplier), exact)
    np.testing.assert_array_equal(fixed_point_kernel(2 * sums, multiplier / 2), exact)


def test_any_other_scale_is_rounded_differently_by_some() -> None:
    sums = np.arange(-40000, 40000)
    apart = float_kernel(sums, 1 / 320.3) != fixed_point_kernel(sums, 1 / 320.3)
    assert 0.0005 < apart.mean() < 0.01


def test_few_sums_per_step_are_left_alone() -> None:
    wanted = torch.tensor([0.2, 0.1])
    adjust = WithoutTies(with_scale(1.0), with_scale(1.0))
    torch.testing.assert_close(adjust(wanted), torch.tensor([0.2, 1 / 9]), rtol=0.2, atol=0)
    assert adjust(wanted)[0] == wanted[0]


@pytest.mark.parametrize("name", ["resnet_conv_shortcut", "mobilenet_v2"])
def test_every_layer_of_a_network_has_them(name: str) -> None:
    prepared = calibrated(*build(name), "portable")
    prepared.graph(*batch(prepared.example_inputs, 2, seed=1))
    weights = [w for w in observers_of(prepared.graph) if isinstance(w, FoldingFakeQuantize)]
    found = 0
    for weight in weights:
        assert isinstance(weight.adjust, WithoutTies)
        ratio = weight.adjust.after.scale.double() / weight.adjust.before.scale.double()
        per_step = ratio / weight.scale.double()
        whole = per_step.round()
        large = per_step >= 9
        torch.testing.assert_close(per_step[large], whole[large], rtol=1e-6, atol=0)
        assert bool((whole[large] % 2 == 1).all())
        found += int(large.sum())
    assert found > 50


class Gated(nn.Module):
    """The mean is taken of a tensor whose scale grows after that, when it is added."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        gate = self.gate(x.mean((2, 3), keepdim=True))
        return (x + 4 * self.second(x * gate)).relu()


def test_a_mean_follows_the_last_scale_of_what_it_reads() -> None:
    torch.manual_seed(0)
    prepared = prepare(Gated().eval(), image(), scheme("portable"), "minmax")
    calibrate(prepared, [(batch(image(), 4, seed=0), None)])
    found = [x for x in observers_of(prepared.graph) if isinstance(x, AdjustedFakeQuantize)]
    means = [x.adjust for x in found if isinstance(x.adjust, MeanWithoutTies)]
    assert len(means) == 1
    for fake_quantize in found:
        if not fake_quantize.activation_post_process.current:
            torch.testing.assert_close(
                fake_quantize.calculate_qparams()[0], fake_quantize.scale, rtol=0, atol=0
            )
