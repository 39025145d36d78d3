"""Scales with which every way of rounding a sum gives the same integer."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantizing import batch, calibrated, scheme
from torch import Tensor, nn
from torchao.quantization.pt2e import FakeQuantize
from torchao.quantization.pt2e.observer import MinMaxObserver
from zoo.catalogue import build
from zoo.parts import image

from edgecompress.compress.fake_quantize import AdjustedFakeQuantize, observers_of
from edgecompress.compress.folding import FoldingFakeQuantize
from edgecompress.compress.quantize import calibrate, prepare
from edgecompress.compress.requantize import MeanWithoutTies, WithoutTies, fits

Sums = NDArray[np.int64]
SCALES = st.floats(2.0**-12, 2.0, width=32)
SUMS_PER_STEP = st.floats(-4, 13).map(lambda exponent: 2.0**exponent)


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
    product = (sums << max(int(exponent), 0)) * round(float(fraction) * 2**31)
    high = (product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))) // (1 << 31)
    # gemmlowp divides towards zero.
    high += (high < 0) & (
        (product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))) % (1 << 31) != 0
    )
    shift = max(-int(exponent), 0)
    mask = (1 << shift) - 1
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0))


def fixed_point_once(sums: Sums, multiplier: float) -> Sums:
    """As ruy and TFLite's newer kernels: the product is rounded once, ties upwards."""
    fraction, exponent = np.frexp(multiplier)
    shift = 31 - int(exponent)
    return (sums * round(float(fraction) * 2**31) + (1 << (shift - 1))) >> shift


def float32_throughout(sums: Sums, before: float, weight: float, after: float) -> Sums:
    """Where the multiplier itself is computed in float32."""
    multiplier = np.float32(before) * np.float32(weight) / np.float32(after)
    return np.rint(sums.astype(np.float32) * multiplier).astype(np.int64)


def sums_near_ties(multiplier: Fraction, largest: int = 255) -> Sums:
    p, q = multiplier.numerator, multiplier.denominator
    ties = (2 * np.arange(-largest, largest) + 1) * q // (2 * p)
    return np.unique((ties[:, None] + np.arange(-2, 4)).reshape(-1))


def rounded(sums: Sums, multiplier: Fraction) -> Sums:
    """In whole numbers, where there is nothing to break a tie."""
    p, q = multiplier.numerator, multiplier.denominator
    assert ((2 * sums * p + q) % (2 * q) != 0).all()
    result: Sums = (2 * sums * p + q) // (2 * q)
    return result


def multiplier_of(before: float, weight: float, after: float) -> Fraction:
    """What the chosen scales stand for: p / q with a power of two p and an odd q."""
    inverse = np.float64(after) / (np.float64(before) * np.float64(weight))
    p = 1
    while (q := round(p * inverse)) % 2 == 0 or abs(p * inverse / q - 1) > 2.0**-22:
        p *= 2
        assert p < 2**13
    return Fraction(p, q)


@settings(max_examples=200, deadline=None)
@given(before=SCALES, after=SCALES, per_step=SUMS_PER_STEP)
@example(before=1.0, after=1.0, per_step=4096.0)
def test_all_kernels_round_alike(before: float, after: float, per_step: float) -> None:
    wanted = torch.tensor([after / before / per_step], dtype=torch.float32)
    weight = WithoutTies(with_scale(before), with_scale(after), twice=True)(wanted).item()
    growth = weight / wanted.item()
    chosen = multiplier_of(before, weight, after)
    assert min(chosen.numerator, chosen.denominator) == 1
    assert (
        1 - 2**-20
        <= growth
        < (1.5 if chosen.denominator > 64 else 1) * (1 + 2 / chosen.denominator)
    )

    sums = sums_near_ties(chosen)
    exact = rounded(sums, chosen)
    multiplier = float(np.float64(before) * np.float64(weight) / np.float64(after))
    np.testing.assert_array_equal(float_kernel(sums, multiplier), exact)
    np.testing.assert_array_equal(float32_throughout(sums, before, weight, after), exact)
    np.testing.assert_array_equal(fixed_point_once(sums, multiplier), exact)
    np.testing.assert_array_equal(fixed_point_kernel(2 * sums, multiplier / 2), exact)


@settings(max_examples=200, deadline=None)
@given(before=SCALES, after=SCALES, per_step=SUMS_PER_STEP)
def test_kernels_that_round_once_do_with_scales_that_hardly_grow(
    before: float, after: float, per_step: float
) -> None:
    wanted = torch.tensor([after / before / per_step], dtype=torch.float32)
    weight = WithoutTies(with_scale(before), with_scale(after), twice=False)(wanted).item()
    assert 1 - 2**-20 <= weight / wanted.item() <= 1 + 2 / 126
    chosen = multiplier_of(before, weight, after)
    assert chosen.denominator >= 127

    sums = sums_near_ties(chosen)
    exact = rounded(sums, chosen)
    multiplier = float(np.float64(before) * np.float64(weight) / np.float64(after))
    np.testing.assert_array_equal(float_kernel(sums, multiplier), exact)
    np.testing.assert_array_equal(float32_throughout(sums, before, weight, after), exact)
    np.testing.assert_array_equal(fixed_point_once(sums, multiplier), exact)


def test_any_other_scale_is_rounded_differently_by_some() -> None:
    sums = np.arange(-40000, 40000)
    apart = float_kernel(sums, 1 / 320.3) != fixed_point_kernel(sums, 1 / 320.3)
    assert 0.0005 < apart.mean() < 0.01


def test_two_roundings_are_misled_where_sums_are_not_doubled() -> None:
    """Else files for gemmlowp's kernels would not need their weights doubled."""
    sums = sums_near_ties(Fraction(1, 321))
    apart = float_kernel(sums, 1 / 321) != fixed_point_kernel(sums, 1 / 321)
    assert apart.any()


@pytest.mark.parametrize(
    ("per_step", "twice", "once"),
    [
        (0.3, Fraction(4), Fraction(512, 153)),
        (0.5, Fraction(2), Fraction(256, 127)),
        (1.0, Fraction(1), Fraction(128, 127)),
        (2.9, Fraction(1), Fraction(64, 185)),
        (3.0, Fraction(1, 3), Fraction(64, 191)),
        (8.9, Fraction(1, 7), Fraction(16, 141)),
        (9.5, Fraction(1, 9), Fraction(16, 151)),
        (127.5, Fraction(1, 127), Fraction(2, 255)),
        (128.5, Fraction(1, 127), Fraction(1, 127)),
        (4095.0, Fraction(1, 3621), Fraction(1, 4095)),
        (2.0**19 + 1, Fraction(1, 2**19 + 1), Fraction(1, 2**19 + 1)),
        # No more of them than leave room for a bias in int32.
        (2.0**20 + 1, Fraction(1, 699049), Fraction(1, 2**20 - 1)),
        (2.0**40, Fraction(1, 699049), Fraction(1, 2**20 - 1)),
    ],
)
def test_the_sums_per_step_that_are_chosen(
    per_step: float, twice: Fraction, once: Fraction
) -> None:
    for rounds_twice, expected in ((True, twice), (False, once)):
        adjust = WithoutTies(with_scale(1.0), with_scale(1.0), rounds_twice)
        # A little smaller, so that the whole number that is meant is not missed by an error.
        (scale,) = adjust(torch.tensor([(1 - 1e-9) / per_step], dtype=torch.float64))
        assert scale.item() == pytest.approx(float(expected), rel=1e-7)


def test_every_channel_has_its_own() -> None:
    wanted = torch.tensor([1 / 2.5, 1 / 4.5, 1 / 40.5])
    scales = WithoutTies(with_scale(2.0), with_scale(2.0), twice=True)(wanted)
    assert scales.dtype == torch.float32
    torch.testing.assert_close(scales, torch.tensor([1.0, 1 / 3, 1 / 39]))


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
        torch.testing.assert_close(per_step, whole, rtol=1e-6, atol=0)
        assert bool((whole % 2 == 1).all())
        found += len(whole)
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


def adjusted(body: nn.Module, wanted: str = "portable") -> list[WithoutTies | MeanWithoutTies]:
    """Whose scales are chosen: in a network of a convolution, `body` and another convolution."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), body, nn.Conv2d(8, 4, 1)).eval()
    prepared = prepare(model, (torch.randn(1, 3, 10, 10),), scheme(wanted), "minmax")
    return [
        x.adjust
        for x in observers_of(prepared.graph)
        if isinstance(x, AdjustedFakeQuantize) and x.adjust is not None
    ]


@pytest.mark.parametrize(
    ("body", "positions"),
    [
        (nn.AdaptiveAvgPool2d(1), 64),
        (nn.AvgPool2d(8), 64),
        (nn.AvgPool2d((2, 3), 1), 6),
        (nn.AvgPool2d(3, 2, 1), 9),
        (nn.Sequential(nn.AvgPool2d((2, 1)), nn.ReLU()), 2),
        (nn.AvgPool2d(1), None),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), None),
        (nn.MaxPool2d(2), None),
    ],
)
def test_the_means_whose_scales_are_chosen(body: nn.Module, positions: int | None) -> None:
    found = adjusted(body)
    means = [x.positions for x in found if isinstance(x, MeanWithoutTies)]
    assert means == ([] if positions is None else [positions])
    weights = [x for x in found if isinstance(x, WithoutTies)]
    assert [x.twice for x in weights] == [True, True]


@pytest.mark.parametrize("wanted", ["litert", "uint8", "int8 symmetric"])
def test_only_the_portable_scheme_minds_two_roundings(wanted: str) -> None:
    found = adjusted(nn.AdaptiveAvgPool2d(1), wanted)
    assert [type(x) for x in found] == [WithoutTies, WithoutTies]
    assert not any(x.twice for x in found if isinstance(x, WithoutTies))


def test_powers_of_two_stay_what_they_are() -> None:
    assert adjusted(nn.ReLU(), "powers of two") == []


def test_the_largest_means() -> None:
    assert fits(2, 1)
    assert fits(64, 128)
    assert not fits(1, 8)
    assert not fits(65, 1)
    assert not fits(64, 129)


class Twice(nn.Module):
    """One layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


def test_a_weight_of_two_layers_cannot_suit_both() -> None:
    assert len(adjusted(Twice())) == 2


@pytest.mark.parametrize("end", [nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.Hardtanh()])
def test_the_scale_behind_norm_and_activation_is_followed(end: nn.Module) -> None:
    found = adjusted(nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), end))
    assert len(found) == 3
    first, second, third = (x for x in found if isinstance(x, WithoutTies))
    assert first.after is second.before
    assert second.after is third.before


@settings(max_examples=100, deadline=None)
@given(before=SCALES, positions=st.integers(2, 64), share=st.floats(0.02, 1.0))
@example(before=1.0, positions=4, share=0.02)
def test_means_have_them_too(before: float, positions: int, share: float) -> None:
    wanted = torch.tensor([before * share])
    scale = MeanWithoutTies(with_scale(before), positions)(wanted)
    assert scale.dtype == torch.float32
    weight = before / (63 * positions)
    q = round(scale.double().item() / weight)
    assert q % 2 == 1
    growth = scale.item() / wanted.item()
    # The next odd number is at most two larger.
    assert 1 - 2**-20 <= growth < 1 + 2.1 / max(q - 2, 1) if q < 128 else growth < 1.3
    sums = sums_near_ties(Fraction(1, q))
    multiplier = float(weight / scale.double().item())
    exact = rounded(sums, Fraction(1, q))
    np.testing.assert_array_equal(float_kernel(sums, multiplier), exact)
    np.testing.assert_array_equal(fixed_point_kernel(2 * sums, multiplier / 2), exact)
