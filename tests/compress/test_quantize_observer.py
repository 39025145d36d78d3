"""RangeObserver: from what it sees to scale and zero point."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgecompress.compress.observers import RangeChoice, RangeObserver, SharedRun

AFFINE = {"dtype": torch.uint8, "qscheme": torch.per_tensor_affine, "quant_min": 0}
SYMMETRIC = {"dtype": torch.int8, "qscheme": torch.per_tensor_symmetric, "quant_min": -128}
finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def affine(**options: object) -> RangeObserver:
    return RangeObserver(**AFFINE, quant_max=255, choice=RangeChoice(**options))  # type: ignore[arg-type]


def symmetric(**options: object) -> RangeObserver:
    return RangeObserver(**SYMMETRIC, quant_max=127, choice=RangeChoice(**options))  # type: ignore[arg-type]


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
        choice=RangeChoice(current=True),
    )
    observer(torch.tensor([[1.0, 10.0], [-2.0, 5.0]]))
    scale, _ = observer.calculate_qparams()
    torch.testing.assert_close(scale, torch.tensor([2.0, 10.0]) / 127)


@pytest.mark.parametrize(("values", "zero"), [([0.5, 1.0], 0), ([-1.0, -0.5], 255)])
def test_a_range_reaches_to_zero(values: list[float], zero: int) -> None:
    observer = affine()
    observer(torch.tensor(values))
    scale, zero_point = observer.calculate_qparams()
    torch.testing.assert_close(scale, torch.tensor([1 / 255]))
    assert int(zero_point) == zero


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


def test_percentile_counts_the_values_of_all_batches() -> None:
    observer = affine(ranges="percentile")
    for top in (1.0, 2.0, 3.0):
        observer(torch.linspace(0, top, 20_000))
    # Six of 60,000 values may saturate; those of the last batch lie 3 / 20,000 apart.
    assert observer.max_val.item() == pytest.approx(3 - 6 * 3 / 20_000, rel=1e-3)
    assert 0 < observer.min_val.item() < 0.001


@pytest.mark.parametrize("ranges", ["percentile", "mse"])
def test_few_values_have_their_exact_range(ranges: str) -> None:
    """One of ten thousand may saturate; these are fewer, and steps are fine for all of them."""
    observer = affine(ranges=ranges)
    observer(torch.tensor([-1.7, 0.3, 2.9]))
    observer(torch.tensor([-0.1, 3.3]))
    scale, zero_point = observer.calculate_qparams()
    torch.testing.assert_close(scale, torch.tensor([5.0 / 255]))
    assert int(zero_point) == round(1.7 / 5.0 * 255)
    assert observer.min_val.item() == pytest.approx(-1.7)
    assert observer.max_val.item() == pytest.approx(3.3)


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("make", [affine, symmetric])
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000), channels_last=st.booleans())
def test_batches_and_layout_do_not_matter(
    ranges: str, make, seed: int, channels_last: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(64, 4, 8, 16, generator=generator) ** 3
    data[..., 3] += 5  # columns are not alike
    found = set()
    for size in (1, 7, 64):
        observer = make(ranges=ranges)
        observer.run = SharedRun()
        for batch in data.split(size):
            layout = torch.channels_last if channels_last and size == 7 else torch.contiguous_format
            observer(batch.contiguous(memory_format=layout))
        observer.choose()
        found.add((observer.min_val.item(), observer.max_val.item()))
    assert len(found) == 1


SHAPES = {
    "a heavy tail": lambda: torch.distributions.StudentT(2.0).sample((50_000,)),
    "after a ReLU": lambda: torch.randn(50_000).relu(),
    "two humps": lambda: torch.cat([torch.rand(25_000) * 0.01, 3 + torch.rand(25_000) * 0.01]),
    "far from zero": lambda: 10 + torch.randn(50_000),
    "rare ones that matter": lambda: torch.cat([torch.randn(100_000), torch.full((5,), 300.0)]),
    "a lone outlier": lambda: torch.cat([torch.randn(1_500_000), torch.full((1,), 100.0)]),
    "one number": lambda: torch.full((50_000,), 2.5),
    "two numbers": lambda: (torch.rand(50_000) > 0.9999).float(),
    "sixteenths": lambda: torch.randint(0, 17, (50_000,)) / 16,
    "tiny numbers": lambda: torch.randn(50_000) * 1e-6,
    "huge numbers": lambda: torch.randn(50_000) * 1e30,
    "five values": lambda: torch.randn(5),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"scales": "power_of_two"}], ids=["free", "powers"])
@pytest.mark.parametrize("make", [affine, symmetric])
def test_no_choice_is_far_below_minmax(shape: str, make, options: dict[str, str]) -> None:
    torch.manual_seed(0)
    values = SHAPES[shape]()
    errors = {}
    for ranges in ("minmax", "percentile", "mse"):
        observer = make(ranges=ranges, **options)
        observer(values)
        errors[ranges] = float((represented(observer, values) - values).double().square().sum())
    assert errors["mse"] <= errors["minmax"] * 1.001
    energy = float(values.double().square().sum())
    assert errors["percentile"] <= max(errors["minmax"] * 1.001, 0.03 * energy)


def test_a_lone_outlier_is_cut_where_steps_matter_more_and_only_there() -> None:
    torch.manual_seed(0)
    bulk, outlier = torch.randn(1_500_000), torch.full((1,), 100.0)
    lone, common = affine(ranges="mse"), affine(ranges="mse")
    lone(torch.cat([bulk, outlier]))
    common(torch.cat([bulk, outlier.repeat(50)]))
    assert lone.max_val.item() < 40
    assert common.max_val.item() == pytest.approx(100.0, rel=0.05)


def test_each_end_has_its_own_range() -> None:
    """The left tail is cut, the right end is a wall with many values at it."""
    torch.manual_seed(0)
    left = -torch.distributions.Exponential(1.0).sample((500_000,))
    values = torch.cat([left, torch.full((50_000,), 6.0)])
    observer = affine(ranges="mse")
    observer(values)
    assert observer.max_val.item() == pytest.approx(6.0, rel=1e-3)
    assert left.min().item() < observer.min_val.item() - 0.5


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_tensors_that_share_a_scale_are_one(ranges: str) -> None:
    together, apart = affine(ranges=ranges), affine(ranges=ranges)
    torch.manual_seed(0)
    first, second = torch.randn(30_000), 4 * torch.rand(20_000)
    together(torch.cat([first, second]))
    apart.run = SharedRun()
    apart(first)
    apart(second)
    apart.choose()
    assert together.min_val == apart.min_val
    assert together.max_val == apart.max_val


def test_what_is_not_finite_does_not_count() -> None:
    for ranges in ("minmax", "percentile", "mse"):
        observer = affine(ranges=ranges)
        observer(torch.tensor([-math.inf, -1.0, math.nan, 2.0, math.inf]))
        observer(torch.tensor([math.nan, math.inf]))
        assert (observer.min_val.item(), observer.max_val.item()) == (-1.0, 2.0)


def test_forgetting_keeps_the_range_until_something_else_is_seen() -> None:
    for ranges in ("minmax", "percentile", "mse"):
        observer = affine(ranges=ranges)
        observer.run = SharedRun()
        observer(torch.tensor([-9.0, 9.0]))
        observer.forget()
        assert (observer.min_val.item(), observer.max_val.item()) == (-9.0, 9.0)
        observer(torch.tensor([0.0, 1.0]))
        observer.choose()
        assert (observer.min_val.item(), observer.max_val.item()) == (0.0, 1.0)


def test_what_was_seen_can_be_chosen_from_in_every_way() -> None:
    torch.manual_seed(0)
    values = torch.cat([torch.randn(30_000), torch.tensor([50.0])])
    chosen, unused = affine(ranges="auto"), affine(ranges="auto")
    chosen.run = SharedRun()
    chosen(values)
    for ranges in ("percentile", "minmax", "mse"):
        alone = affine(ranges=ranges)
        alone(values)
        chosen.choose_by(ranges)
        chosen.choose()
        assert (chosen.min_val, chosen.max_val) == (alone.min_val, alone.max_val)
        unused.choose_by(ranges)
        unused.choose()  # it has seen nothing, and has no range to choose
        assert unused.max_val == -math.inf


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_training_starts_from_the_calibrated_range(ranges: str) -> None:
    observer, shared = affine(ranges=ranges), SharedRun()
    observer.run = shared
    for batch in ([-1.0, 2.0], [-2.0, 6.0]):
        observer(torch.tensor(batch))
    shared.phase = "train"
    for run, top in enumerate((16.0, 26.0)):
        shared.number += 1
        observer(torch.tensor([-1.0, 10.0]))
        observer(torch.tensor([0.0, top]))  # of the same run: it counts as one with the first
        low, high = (-1.99, 6.1) if run == 0 else (-1.9801, 6.299)
        assert observer.min_val.item() == pytest.approx(low, rel=1e-3)
        assert observer.max_val.item() == pytest.approx(high, rel=1e-3)


def test_training_without_calibration_starts_with_the_first_batch() -> None:
    observer = affine()
    observer.run = SharedRun("train")
    observer(torch.tensor([-3.0, 4.0]))
    assert (observer.min_val.item(), observer.max_val.item()) == (-3.0, 4.0)


def test_seven_bits_keep_to_63_when_searching() -> None:
    """The grid that is searched is that of the integers which may be used."""
    torch.manual_seed(0)
    values = torch.randn(20_000)
    ranges = {}
    for limit in (63, 127):
        observer = symmetric(ranges="mse", limit=limit)
        observer(values)
        scale, zero_point = observer.calculate_qparams()
        assert int(zero_point) == 0
        ranges[limit] = float(scale) * limit
    assert ranges[63] < ranges[127]  # coarser steps are worth more cutting


def test_training_follows_slowly_and_validation_not_at_all() -> None:
    observer = affine()
    observer(torch.tensor([0.0, 1.0]))
    observer.run = SharedRun("train")
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
