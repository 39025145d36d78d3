"""Scales from which every runtime rounds a layer's sums to the same integers.

A kernel multiplies its int32 sums by M = scale(input) * scale(weight) / scale(output) and rounds.
Runtimes multiply differently (in float, in fixed point with two roundings as gemmlowp does) and
break ties differently. Where M = p / q with an odd q and a power of two p, no sum is a tie, since
2 * p * sum is even and an odd multiple of q is not, nor nearer to one than 1 / 2q: all that round
once agree. Weights have a scale per channel, which grows by at most 2 / _FINE for it.

Fixed point rounds 2^e / q to a whole number of 2^-s first, and so takes a sum next to what would be
a tie for one. With p = 1 that is a sum S with 2 * S = q * (2 * k + 1) +- 1, and no even one: a file
for such a kernel has p = 1 (or q = 1), and all weights and biases twice as large at half the scale,
which leaves room in int8 for 7-bit weights. For that the scale may have to grow by more: below
twofold where q is 3 or more, threefold at most. But there a step of the output is so few sums that
the layer reads few steps of its input, whose rounding costs more.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize

from edgecompress.compress.fake_quantize import AdjustedFakeQuantize
from edgecompress.compress.folding import BatchNorm
from edgecompress.compress.fx import input_of, only_user
from edgecompress.compress.means import (
    MEAN_WEIGHT,
    averaged_window,
    image_shape,
    note_without_ties,
)
from edgecompress.compress.operators import CLIPPING, WEIGHTED
from edgecompress.spec.scheme import QuantizationScheme

LARGEST_WINDOW = 64
"""Positions of a mean that is rounded so; q is too large for float32 beyond."""
LARGEST_MEAN = 8192
"""Weights of such a mean, positions times channels. A convolution takes up to four times as long as
MEAN; that matters for many, where a step in some of them does not."""
_FINE = 128
"""q is at least nearly this where p may be more than 1."""
_LARGEST = 2.0**20
"""The largest 1 / M. Weights that are nearly zero would have a scale in which their channel's bias
is beyond int32: so large a number of sums to a step leaves room for a bias of 2,048 steps, and the
largest weight that is rounded to zero for it moves a sum of a thousand by an eighth of a step."""
_LOST = 1.05 * 255 * 2 * 2.0**-24
"""What the largest sum of a kernel is off by when a scale is rounded to float32, for q = 1: results
lie up to 255 from the zero point."""


@dataclass(frozen=True)
class WithoutTies:
    """Chooses the scales of a layer's weights; follows those of what it reads and writes.

    Args:
        before, after: of what the layer reads and writes.
        twice: whether kernels that round twice are to agree too.

    """

    before: FakeQuantize
    after: FakeQuantize
    twice: bool

    def __call__(self, scale: Tensor) -> Tensor:
        """The next larger scales, [C] or [1], that make M = p / q with an odd q."""
        ratio = self.after.scale.double() / self.before.scale.double()
        inverse = (ratio / scale.double()).clamp(max=_LARGEST)
        least = 1 if self.twice else _FINE
        p = torch.exp2(torch.ceil(torch.log2(least / inverse)).clamp(min=0))
        q = _odd_below(p * inverse)
        if self.twice:
            # Of the odd number: of a power of two it lies below that, where less is safe.
            q = _odd_below(torch.minimum(q, _safe(q)))
        chosen: Tensor = ratio * p / q
        return chosen.to(scale.dtype)


@dataclass(frozen=True)
class MeanWithoutTies:
    """Chooses the scale of a mean over `positions`; follows that of what it reads."""

    before: FakeQuantize
    positions: int

    def __call__(self, scale: Tensor) -> Tensor:
        """The next larger scale, [1], that makes M = 1 / q with an odd q."""
        unit = self.before.scale.double() / (MEAN_WEIGHT * self.positions)
        inverse = scale.double() / unit
        least = torch.where(inverse > _safe(inverse), 2 * _power_below(inverse), inverse)
        q = torch.ceil((least - 1).clamp(min=0) / 2) * 2 + 1
        chosen: Tensor = unit * q
        return chosen.to(scale.dtype)


def _odd_below(number: Tensor) -> Tensor:
    """The largest odd number up to this one; 1 at least."""
    return torch.floor((number - 1).clamp(min=0) / 2) * 2 + 1


def _power_below(number: Tensor) -> Tensor:
    return torch.exp2(torch.floor(torch.log2(number)))


def _safe(number: Tensor) -> Tensor:
    """The largest q to use up to the next power of two. In fixed point M is f / 2^e with f from 1/2
    to 1, and what f has above 1/2 must be more than what rounding a scale to float32 can do to the
    largest sum. A q beyond 8192 leaves results of a few steps, and as little for rounding to do.
    """
    power = _power_below(number)
    return power / (0.5 + (power * _LOST).clamp(max=0.25))


def avoid_ties(graph: GraphModule, scheme: QuantizationScheme) -> None:
    """After prepare: let the weights of every quantised layer have such scales, and means too where
    fixed point is to round like float. Such means carry a note of it.
    """
    twice = scheme.same_integers
    # One fake-quantize serves all tensors that share a scale, under a name for each.
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in graph.graph.nodes:
        positions = _positions(node) if twice else 0
        if node.target not in WEIGHTED and not positions:
            continue
        before, after = modules.get(str(input_of(node).target)), _quantizer_after(node, modules)
        if not isinstance(before, FakeQuantize) or after is None:
            continue
        if positions:
            if before is not after:
                after.adjust = MeanWithoutTies(before, positions)
                note_without_ties(node)
            continue
        weight = modules.get(str(input_of(node, 1).target))
        # A weight that two layers share would have to suit both.
        if isinstance(weight, AdjustedFakeQuantize) and only_user(input_of(node, 1)):
            weight.adjust = WithoutTies(before, after, twice)


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
