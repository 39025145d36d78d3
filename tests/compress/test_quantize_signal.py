"""What quantising leaves of a signal: the cases in which it once left nothing."""

import pytest
import torch
from quantizing import scheme
from torch import Tensor, nn

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


@pytest.mark.parametrize("ranges", ["minmax", "mse", "percentile"])
@pytest.mark.parametrize("count", [16, 50, 64])
def test_columns_that_are_not_alike(ranges: Ranges, count: int) -> None:
    """A spectrogram; a strided sample of it is one column, and always the same one."""
    torch.manual_seed(0)
    x = torch.rand(count, 1, 64, 64) * 0.01
    x[..., 10:30] += 3
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1))
    assert decibels(model, (x,), ranges=ranges) > 35
