"""The histogram of all values, and the ranges that are chosen from it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgecompress.compress.histogram import Histogram
from edgecompress.compress.ranges import Grid, least_squares, percentile, squared_error

floats = st.floats(-(2.0**100), 2.0**100, allow_nan=False, width=32, allow_subnormal=False)


def unsigned(low: Tensor, high: Tensor) -> Grid:
    """Integers from 0 to 255 without any rule about zero."""
    scale = (high - low).double() / 255
    zero_point = torch.round(-low.double() / scale)
    return Grid(scale, zero_point, -zero_point * scale, (255 - zero_point) * scale)


def whole(values: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.aminmax(values)
    return low, high


@settings(max_examples=50, deadline=None)
@given(values=st.lists(floats, min_size=1, max_size=50))
def test_bins_ascend_and_lie_within_a_thousandth(values: list[float]) -> None:
    seen = torch.tensor(values)
    histogram = Histogram.of(seen)
    middles = histogram.values
    assert int(histogram.counts.sum()) == len(values)
    assert bool((histogram.bins.diff() > 0).all())
    assert bool((middles.diff() > 0).all())
    each = middles.repeat_interleave(histogram.counts)
    distance = (each - seen.double().sort().values).abs()
    assert bool((distance <= seen.double().sort().values.abs() / 1024 + 1e-40).all())


def test_many_values_are_counted_like_few() -> None:
    torch.manual_seed(0)
    values = torch.randn(40_000) * torch.logspace(-20, 20, 40_000)
    at_once = Histogram.of(values)
    merged = Histogram.of(values[:100])
    for part in values[100:].split(9_999):
        merged = merged.merged(Histogram.of(part))
    assert torch.equal(at_once.bins, merged.bins)
    assert torch.equal(at_once.counts, merged.counts)


def test_one_value_in_ten_thousand_saturates_on_either_side() -> None:
    values = torch.cat([torch.arange(1, 30_001), torch.tensor([-7.0, -8.0, -9.0])]).float()
    low, high = percentile(Histogram.of(values), whole(values), unsigned)
    assert low.item() == pytest.approx(1.0, rel=1e-3)  # three lie below
    assert high.item() == pytest.approx(29_997, rel=1e-3)
    fewer = values[:9_999]
    assert percentile(Histogram.of(fewer), whole(fewer), unsigned) == whole(fewer)


def test_a_percentile_is_never_outside_of_what_was_seen() -> None:
    values = torch.full((20_000,), 1.0001)
    assert percentile(Histogram.of(values), whole(values), unsigned)[1] == values[0]


def test_few_values_that_carry_the_signal_are_kept() -> None:
    torch.manual_seed(0)
    values = torch.cat([torch.randn(50_000), torch.full((4,), 1000.0)])
    assert percentile(Histogram.of(values), whole(values), unsigned) == whole(values)
    values[-4:] = 15.0
    _, high = percentile(Histogram.of(values), whole(values), unsigned)
    assert high < 10


def test_the_error_of_a_range_is_what_quantising_costs() -> None:
    torch.manual_seed(0)
    values = torch.randn(20_000)
    grid = unsigned(torch.tensor([-5.0, -1.0]), torch.tensor([5.0, 2.0]))
    found = squared_error(Histogram.of(values), grid)
    for index in range(2):
        scale, zero = grid.scale[index], grid.zero_point[index]
        integers = (torch.round(values / scale) + zero).clamp(0, 255)
        wanted = ((integers - zero) * scale - values).square().sum()
        assert found[index].item() == pytest.approx(wanted.item(), rel=0.01)


@pytest.mark.parametrize("power", [1, 3, 5])
def test_the_search_finds_what_a_slow_one_finds(power: int) -> None:
    torch.manual_seed(0)
    values = torch.randn(5_000) ** power
    values[values < 0] *= 0.5
    histogram = Histogram.of(values)
    low, high = whole(values)
    found = torch.stack(least_squares(histogram, (low, high), unsigned))
    shares = torch.linspace(0.4, 1, 25)
    lows, highs = (
        x.reshape(-1) for x in torch.meshgrid(low * shares, high * shares, indexing="ij")
    )
    slow = squared_error(histogram, unsigned(lows, highs)).min()
    fast = squared_error(histogram, unsigned(found[:1], found[1:]))
    assert fast.item() <= slow.item() * 1.003


def test_the_wider_range_wins_a_tie() -> None:
    """No range of two or more steps costs zeros and ones anything."""
    values = (torch.arange(20_000) % 2).float()
    assert least_squares(Histogram.of(values), whole(values), unsigned) == whole(values)
