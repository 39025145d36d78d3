"""Scales from which every runtime rounds a layer's sums to the same integers.

A kernel multiplies its int32 sums by M = scale(input) * scale(weight) / scale(output) and rounds.
Runtimes multiply differently (in float, in fixed point with two roundings as gemmlowp does) and
break ties differently. Where M = 1 / N with an odd N, no sum is a tie, nor nearer to one than
1 / 2N: all that round once agree. Weights have a scale per channel, so N costs almost nothing: a
weight's scale grows by at most two steps in N.

Fixed point rounds 2^e / N to a whole number of 2^-s first, and is misled where that result is a tie
and the sum was not: by odd sums only. A file for such a kernel has all weights and biases twice as
large at half the scale (`export.litert_kernels`), which leaves room in int8 for 7-bit weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize

from edgecompress.compress.folding import WEIGHTED, BatchNorm
from edgecompress.compress.fx import averaged_window, image_shape, input_of, only_user
from edgecompress.compress.observers import AdjustedFakeQuantize
from edgecompress.compress.operators import CLIPPING

MEAN_WEIGHT = 63
LARGEST_WINDOW = 64
"""Positions of a mean that is rounded so; N is too large for float32 beyond."""
LARGEST_MEAN = 8192
"""Weights of such a mean, positions times channels. A convolution takes up to four times as long as
MEAN; that matters for many, where a step in some of them does not."""
_SMALLEST = 9
"""N below this are left alone: the next odd one is too far."""
_LOST = 1.05 * 255 * 2 * 2.0**-24
"""What the largest sum of a kernel is off by when a scale is rounded to float32, for N = 1: results
lie up to 255 from the zero point."""


@dataclass(frozen=True)
class WithoutTies:
    """Chooses the scales of a layer's weights; follows those of what it reads and writes."""

    before: FakeQuantize
    after: FakeQuantize

    def __call__(self, scale: Tensor) -> Tensor:
        """The next larger scales, [C] or [1], that make M = 1 / N with an odd N."""
        ratio = self.after.scale.double() / self.before.scale.double()
        inverse = ratio / scale.double()
        largest = torch.minimum(inverse, _safe(_power_below(inverse)))
        odd = torch.floor((largest - 1) / 2) * 2 + 1
        return torch.where(odd >= _SMALLEST, (ratio / odd).to(scale.dtype), scale)


@dataclass(frozen=True)
class MeanWithoutTies:
    """Chooses the scale of a mean over `positions`; follows that of what it reads."""

    before: FakeQuantize
    positions: int

    def __call__(self, scale: Tensor) -> Tensor:
        """A scale, [1], next to the wanted one that makes M = 1 / N with an odd N."""
        unit = self.before.scale.double() / (MEAN_WEIGHT * self.positions)
        inverse = scale.double() / unit
        power = _power_below(inverse)
        least = torch.where(inverse > _safe(power), 2 * power, inverse)
        odd = torch.floor(least / 2) * 2 + 1
        return torch.where(odd >= _SMALLEST, (unit * odd).to(scale.dtype), scale)


def _power_below(inverse: Tensor) -> Tensor:
    return torch.exp2(torch.floor(torch.log2(inverse)))


def _safe(power: Tensor) -> Tensor:
    """The largest N to use up to the next power of two. In fixed point M is f / 2^e with f from 1/2
    to 1, and what f has above 1/2 must be more than what rounding a scale to float32 can do to the
    largest sum.
    """
    return power / (0.5 + power * _LOST)


def avoid_ties(graph: GraphModule, weight_bits: int) -> None:
    """After prepare: let the weights of every quantised layer have such scales, and means too where
    fixed point is to round like float.
    """
    # One fake-quantize serves all tensors that share a scale, under a name for each.
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in graph.graph.nodes:
        positions = _positions(node) if weight_bits == 7 else 0
        if node.target not in WEIGHTED and not positions:
            continue
        before, after = modules.get(str(input_of(node).target)), _quantizer_after(node, modules)
        if not isinstance(before, FakeQuantize) or after is None:
            continue
        if positions:
            if before is not after:
                after.adjust = MeanWithoutTies(before, positions)
            continue
        weight = modules.get(str(input_of(node, 1).target))
        # A weight that two layers share would have to suit both.
        if isinstance(weight, AdjustedFakeQuantize) and only_user(input_of(node, 1)):
            weight.adjust = WithoutTies(before, after)


def _positions(node: Node) -> int:
    """Over how many positions of an image each mean is taken; 0 where it is none, or too large."""
    window = averaged_window(node)
    if window is None or not window.uniform:
        return 0
    return window.positions if fits(window.positions, image_shape(node)[1]) else 0


def fits(positions: int, channels: int) -> bool:
    """Whether such a mean is rounded like a convolution, and written as one where that helps."""
    return 1 < positions <= LARGEST_WINDOW and positions * channels <= LARGEST_MEAN


def _quantizer_after(node: Node, modules: dict[str, nn.Module]) -> AdjustedFakeQuantize | None:
    following = only_user(node)
    while following is not None and (
        isinstance(modules.get(str(following.target)), BatchNorm) or following.target in CLIPPING
    ):
        following = only_user(following)
    found = None if following is None else modules.get(str(following.target))
    return found if isinstance(found, AdjustedFakeQuantize) else None
