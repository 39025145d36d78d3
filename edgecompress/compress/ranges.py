"""From all values that a tensor had in calibration to the range that its integers should cover."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from edgecompress.compress.histogram import Histogram

MAY_SATURATE = 1e-4
"""The share of all values that percentile may cut off on either side."""
_LOST = 0.03
"""The share of the signal's energy that percentile may cut off where coarser steps cost less."""
_OCTAVES, _PER_OCTAVE = 12, 4
_ZOOMS, _ZOOM = 3, 9


@dataclass(frozen=True)
class Grid:
    """What integers stand for under each of C ranges; all [C] float64."""

    scale: Tensor
    zero_point: Tensor
    bottom: Tensor
    """The lowest value that an integer stands for; what is below saturates."""
    top: Tensor


Grids = Callable[[Tensor, Tensor], Grid]
"""(lows, highs), [C] each -> what the observer's type of integer makes of these ranges."""
Range = tuple[Tensor, Tensor]
"""The least and the largest value, of no dimension each."""


def percentile(seen: Histogram, whole: Range, grids: Grids) -> Range:
    """The range outside of which at most 0.01 % of all values lie, on either side.

    Where these few are so large that cutting them down to it would lose 3 % of the signal's energy,
    and more than the coarser steps of the whole range do, they carry the information (as a few
    channels of a transformer do), and the range is the whole one.

    Args:
        seen: all values.
        whole: the least and the largest of them.
        grids: what each range would give.

    """
    values, counts = seen.values, seen.counts
    below = counts.cumsum(0)
    total = int(below[-1])
    spare = int(total * MAY_SATURATE)
    # The first bin up to which there are more values than may saturate, from either end.
    first = int((below > spare).nonzero()[0])
    last = int((total - below + counts > spare).nonzero()[-1])
    low = values[first].to(whole[0].dtype).clamp(*whole) if spare else whole[0]
    high = values[last].to(whole[1].dtype).clamp(*whole) if spare else whole[1]
    lows, highs = torch.stack([low, whole[0]]), torch.stack([high, whole[1]])
    cut, kept = squared_error(seen, grids(lows, highs))
    energy = (values.square() * counts).sum()
    return whole if cut > kept and cut > _LOST * energy else (low, high)


def least_squares(seen: Histogram, whole: Range, grids: Grids) -> Range:
    """The range with the least squared error over all values: what saturates against the size of
    the steps (Banner et al., 2019, who work it out for a Laplacian; here it is searched in the
    histogram, as torchao's and TensorRT's calibrators do).

    Both ends are searched apart, first by factors down to 1 / 4096, then ever closer to the best.
    Candidates cost a few look-ups in cumulative sums each; the best of them is compared exactly
    with the whole range and with the percentile, and the wider one wins a tie.
    """
    sums = _Sums(seen)
    steps = _OCTAVES * _PER_OCTAVE
    factors = torch.exp2(-torch.arange(steps + 1, dtype=torch.float64) / _PER_OCTAVE)
    best = (torch.tensor(1.0).double(), torch.tensor(1.0).double())
    around, width = (factors, factors), 2 ** (1 / _PER_OCTAVE)
    for _ in range(1 + _ZOOMS):
        low, high = (side.reshape(-1) for side in torch.meshgrid(*around, indexing="ij"))
        cost = sums.squared_error(grids(whole[0] * low, whole[1] * high))
        index = int((cost == cost.min()).nonzero()[0])
        best = (low[index], high[index])
        zoom = width ** torch.linspace(1, -1, _ZOOM, dtype=torch.float64)
        around = ((best[0] * zoom).clamp(max=1), (best[1] * zoom).clamp(max=1))
        width **= 2 / (_ZOOM - 1)
    found = ((whole[0] * best[0]).float(), (whole[1] * best[1]).float())
    candidates = [whole, percentile(seen, whole, grids), found]
    lows, highs = (torch.stack(ends) for ends in zip(*candidates, strict=True))
    cost = squared_error(seen, grids(lows, highs))
    return candidates[int((cost == cost.min()).nonzero()[0])]


def squared_error(seen: Histogram, grid: Grid) -> Tensor:
    """Summed over all values, as quantising the middle of each bin gives it; [C]."""
    values = seen.values
    scale, zero_point, bottom, top = (
        x[:, None] for x in (grid.scale, grid.zero_point, grid.bottom, grid.top)
    )
    nearest = (torch.round(values / scale + zero_point) - zero_point) * scale
    error = torch.minimum(torch.maximum(nearest, bottom), top) - values
    return (error.square() * seen.counts).sum(1)


class _Sums:
    """Cumulative sums over a histogram, from which the error of a range follows without a look at
    each bin: x^2 where x is rounded to zero, scale^2 / 12 elsewhere inside (values spread evenly
    between two steps), and the square of what is cut off outside.
    """

    def __init__(self, seen: Histogram) -> None:
        self.values = seen.values
        powers = torch.stack([self.values**power for power in range(3)]) * seen.counts
        self.sums = torch.cat([torch.zeros(3, 1).double(), powers.cumsum(1)], 1)

    def squared_error(self, grid: Grid) -> Tensor:
        half = grid.scale / 2
        to_zero = torch.maximum(grid.bottom, -half), torch.minimum(grid.top, half)
        edges = [torch.searchsorted(self.values, at) for at in (grid.bottom, *to_zero, grid.top)]
        below, negative, small, positive = (self.sums[:, edge] for edge in edges)
        above = self.sums[:, -1:] - positive
        inside = positive[0] - below[0] - (small[0] - negative[0])
        return (
            _around(below, grid.bottom)
            + _around(above, grid.top)
            + (small[2] - negative[2])
            + inside * grid.scale.square() / 12
        )


def _around(sums: Tensor, point: Tensor) -> Tensor:
    """Sum of (x - point)^2 from the sums of 1, x and x^2."""
    return sums[2] - 2 * point * sums[1] + point.square() * sums[0]
