"""A count of every value that was seen, whatever its size, that merges exactly.

A bin is a float32 without the last bits of its fraction, so its width is at most 1 / 1024 of the
values in it, for small and large ones alike (as in HDR histograms, and in DDSketch: Masson et al.,
2019). Bins do not depend on the data, so nothing is re-binned when the range grows, and counts do
not depend on the order, the batches or the memory layout in which values come.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_SHIFT = 13
"""Bits of the fraction that are dropped; 10 of 23 are kept."""
_BINS = 1 << (32 - _SHIFT)
_MAGNITUDE = 0x7FFFFFFF
_FEW = 1 << 14
"""Up to so many values sorting is faster than counting into all bins."""


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each bin that is not empty."""

    bins: Tensor
    """[K] int64, ascending with the values in them."""
    counts: Tensor
    """[K] int64, at least 1 each."""

    @classmethod
    def of(cls, values: Tensor) -> "Histogram":
        """Count finite float32 values of any shape."""
        bits = values.reshape(-1).contiguous().view(torch.int32)
        # The bits of negative floats turned over: integers in the order of the values.
        bins = (_ordered(bits) >> _SHIFT) + _BINS // 2
        if bins.numel() <= _FEW:
            found, counts = torch.unique(bins, return_counts=True)
            return cls(found.long(), counts)
        table = torch.bincount(bins, minlength=_BINS)
        found = table.nonzero().reshape(-1)
        return cls(found, table[found])

    def merged(self, other: "Histogram") -> "Histogram":
        """The counts of both together."""
        bins, places = torch.unique(torch.cat([self.bins, other.bins]), return_inverse=True)
        counts = torch.zeros_like(bins)
        counts.index_add_(0, places, torch.cat([self.counts, other.counts]))
        return Histogram(bins, counts)

    @property
    def values(self) -> Tensor:
        """[K] float64, the middle of each bin."""
        middles = ((self.bins - _BINS // 2) << _SHIFT) + (1 << (_SHIFT - 1))
        return _ordered(middles.to(torch.int32)).view(torch.float32).double()


def _ordered(bits: Tensor) -> Tensor:
    """Its own inverse."""
    return bits ^ ((bits >> 31) & _MAGNITUDE)
