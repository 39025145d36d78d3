"""RangeObserver: from what it sees to scale and zero point."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgecompress.compress.observers import RangeObserver

AFFINE = {"dtype": torch.uint8, "qscheme": torch.per_tensor_affine, "quant_min": 0}
SYMMETRIC = {"dtype": torch.int8, "qscheme": torch.per_tensor_symmetric, "quant_min": -128}
finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def affine(**options: object) -> RangeObserver:
    return RangeObserver(**AFFINE, quant_max=255, **options)  # type: ignore[arg-type]


def symmetric(**options: object) -> RangeObserver:
    return RangeObserver(**SYMMETRIC, quant_max=127, **options)  # type: ignore[arg-type]


def represented(observer: RangeObserver, values: Tensor) -> Tensor:
    scale, zero_point = observer.calculate_qparams()
    integers = torch.round(values / scale) + zero_point
    return (integers.clamp(observer.quant_min, observer.quant_max) - zero_point) * scale


@settings(max_examples=60, deadline=None)
@given(values=st.lists(finite, min_size=1, max_size=20), power=st.booleans(), even=st.booleans())
def test_zero_is_exact_and_no_value_is_lost(values: list[float], power: bool, even: bool) -> None:
    make = symmetric if even else affine
    observer = make(scales="power_of_two" if power else "free")
    seen = torch.tensor(values)
    observer(seen)
    scale, zero_point = observer.calculate_qparams()
    assert represented(observer, torch.zeros(1)).item() == 0.0
    assert observer.quant_min <= int(zero_point) <= observer.quant_max
    error = (represented(observer, seen) - seen).abs().max()
    assert error <= scale * (1 if power and not even else 0.5) * (1 + 1e-4) + 1e-6
    if power:
        assert math.log2(float(scale)).is_integer()
    if even:
        assert int(zero_point) == 0


def test_seven_bits_keep_to_63() -> None:
    observer = symmetric(limit=63, current=True)
    weight = torch.tensor([-1.0, 0.3, 0.99])
    observer(weight)
    scale, _ = observer.calculate_qparams()
    assert torch.round(weight / scale).abs().max() == 63


def test_channels_have_ranges_of_their_own() -> None:
    observer = RangeObserver(
        dtype=torch.int8,
        qscheme=torch.per_channel_symmetric,
        quant_min=-128,
        quant_max=127,
        ch_axis=1,
        current=True,
    )
    observer(torch.tensor([[1.0, 10.0], [-2.0, 5.0]]))
    scale, _ = observer.calculate_qparams()
    torch.testing.assert_close(scale, torch.tensor([2.0, 10.0]) / 127)


def test_minmax_keeps_the_widest_range() -> None:
    observer = affine()
    for batch in ([-1.0, 2.0], [0.0, 5.0], [-0.5, 1.0]):
        observer(torch.tensor(batch))
    assert (observer.min_val.item(), observer.max_val.item()) == (-1.0, 5.0)


def test_percentile_and_mse_cut_a_lone_outlier_off() -> None:
    torch.manual_seed(0)
    values = torch.randn(10_000)
    values[1234] = 20.0
    tops = {}
    for ranges in ("minmax", "percentile", "mse"):
        observer = affine(ranges=ranges)
        observer(values)
        tops[ranges] = observer.max_val.item()
    assert tops["minmax"] == 20.0
    assert tops["percentile"] < 10
    assert tops["mse"] < 20.0


def test_mse_has_the_least_error_of_the_three() -> None:
    torch.manual_seed(0)
    values = torch.randn(10_000) ** 3
    errors = {}
    for ranges in ("minmax", "percentile", "mse"):
        observer = affine(ranges=ranges)
        observer(values)
        errors[ranges] = (represented(observer, values) - values).square().mean().item()
    assert errors["mse"] <= min(errors.values()) * 1.0001


def test_percentile_averages_over_batches() -> None:
    observer = affine(ranges="percentile")
    for top in (1.0, 2.0, 3.0):
        observer(torch.linspace(0, top, 1000))
    assert observer.max_val.item() == pytest.approx(2.0, rel=1e-3)


def test_training_follows_slowly_and_validation_not_at_all() -> None:
    observer = affine()
    observer(torch.tensor([0.0, 1.0]))
    observer.following = True
    observer(torch.tensor([0.0, 2.0]))
    assert observer.max_val.item() == pytest.approx(1.01)
    observer.eval()
    observer(torch.tensor([-50.0, 50.0]))
    assert observer.max_val.item() == pytest.approx(1.01)
    assert observer.min_val.item() == 0.0


def test_weights_follow_themselves() -> None:
    observer = symmetric(current=True)
    observer(torch.tensor([8.0]))
    observer(torch.tensor([-0.5, 0.25]))
    assert (observer.min_val.item(), observer.max_val.item()) == (-0.5, 0.25)


@pytest.mark.parametrize(("make", "step"), [(affine, 1 / 256), (symmetric, 1 / 128)])
@pytest.mark.parametrize("scales", ["free", "power_of_two"])
def test_bounded_has_a_fixed_step(make, step: float, scales: str) -> None:
    observer = make(bounded=True, scales=scales)
    observer(torch.tensor([0.1, 0.2]))
    scale, zero_point = observer.calculate_qparams()
    assert float(scale) == step
    assert int(zero_point) == 0


def test_an_empty_batch_and_a_constant_zero_are_no_problem() -> None:
    observer = affine()
    observer(torch.empty(0, 3))
    observer(torch.zeros(4))
    scale, _ = observer.calculate_qparams()
    assert scale > 0
    assert represented(observer, torch.zeros(3)).abs().max() == 0
