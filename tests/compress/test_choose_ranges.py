"""`ranges: auto` takes the kind that is best on what calibration has not seen."""

import pytest
import torch
from quantizing import scheme
from torch import Tensor, nn

from edgecompress.compress.choose_ranges import calibrate_best
from edgecompress.compress.observers import Ranges
from edgecompress.compress.quantize import Prepared, calibrate, forward, prepare
from edgecompress.task.base import Batch

KINDS: tuple[Ranges, ...] = ("minmax", "percentile", "mse")


def batches_of(count: int, size: int, outlier: float) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count * size, 1, 64, 64, generator=generator)
    x[0, 0, 0, 0] = outlier
    return [(part, None) for part in x.split(size)]


def prepared(model: nn.Module, x: Tensor, ranges: Ranges) -> Prepared:
    return prepare(model, (x[:1],), scheme("uint8"), ranges)


def decibels(model: nn.Module, graph: Prepared, x: Tensor) -> float:
    with torch.no_grad():
        right, found = model(x), forward(graph, (x,))
    return float(10 * torch.log10(right.square().sum() / (right - found).square().sum()))


@pytest.mark.parametrize(("count", "size"), [(4, 8), (1, 8)])
def test_it_takes_what_is_best_on_the_held_out_data(count: int, size: int) -> None:
    """One outlier, which only calibration saw, leaves minmax few steps for all else."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3)).eval()
    batches = batches_of(count, size, outlier=30.0)
    everything = torch.cat([x for x, _ in batches])
    held_out = everything[4:] if count == 1 else batches[-1][0]
    chosen = prepared(model, everything, "auto")
    said = calibrate_best(chosen, batches)
    alone = {}
    for kind in KINDS:
        graph = prepared(model, everything, kind)
        calibrate(graph, batches)
        alone[kind] = decibels(model, graph, held_out)
    best = said.removeprefix("ranges: ").split(",")[0]
    assert best != "minmax"
    assert alone[best] > alone["minmax"] + 2
    assert decibels(model, chosen, held_out) == pytest.approx(alone[best], abs=0.01)
    assert all(kind in said for kind in KINDS)


def test_one_sample_is_enough() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3)).eval()
    batches = batches_of(1, 1, outlier=0.0)
    graph = prepared(model, batches[0][0], "auto")
    assert calibrate_best(graph, batches).startswith("ranges: ")
    assert decibels(model, graph, batches[0][0]) > 30
