"""`quantize.rounding: adaptive` (AdaRound): weights are rounded so that a layer's output stays.

Rounding each weight to the nearest step is the best for the weight, not for what the layer computes
with it. As in Nagel et al. (2020, "Up or down? Adaptive rounding for post-training quantization"),
a weight becomes floor(w / scale) + h(v), with h a sigmoid that is stretched and cut to 0..1. What
is learnt is v: the layer reads what the quantised layers before it give, and is to give, behind its
activation, what it gave in float; a regulariser drives each h to 0 or 1. Three things are ours. The
error counts in units of that of rounding to the nearest, so that the regulariser weighs the same
in every layer, eight bits or fewer. What comes out is held against rounding to the nearest on
samples that were not used, for each output channel, and the better one is taken. And what is zero
stays zero, because it may be pruned.

The float weight stays as it is. Its fake-quantize notes by how many steps each value ends beside
the nearest integer, and holds its scale, so that every file gets the same integers.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgecompress.compress.folding import along, groups_of
from edgecompress.compress.operators import WEIGHTED
from edgecompress.compress.side_by_side import Layer, Seen

_STRETCH = 1.1, -0.1
"""The sigmoid is stretched to from -0.1 to 1.1 before it is cut (Louizos et al., 2018)."""
_ITERATIONS = 600
_RATE = 1e-2
_REGULARISER = 0.3
_BETA = 20.0, 2.0
_WARM_UP = 0.2
"""Share of the iterations without the regulariser."""
_WORK = 8.0e6
"""Multiplications of the layer in one iteration, at most, where that leaves two samples or more."""
_MOST_SAMPLES = 256
_HELD_OUT = 4
"""One sample in so many is kept to compare roundings on."""


@dataclass(frozen=True)
class Rounded:
    """How far a layer's output is from that in float, as a sum of squares over held-out samples."""

    name: str
    nearest: float
    adaptive: float
    """That of the rounding that was taken."""


@dataclass(frozen=True)
class _Grid:
    """The steps that a layer's folded weights are rounded to."""

    layer: Layer
    factor: Tensor
    """That of the batch norm behind it: weight * factor is what ships."""
    scale: Tensor
    nearest: Tensor
    """Whole steps, as they would be otherwise."""
    below: Tensor
    """floor(weight * factor / scale)"""
    rest: Tensor
    """What that leaves of the weight, in steps, from 0 to 1."""

    def steps(self, up: Tensor) -> Tensor:
        """Whole steps, rounded up from below where `up` is 1. Zeros, which may be pruned, stay."""
        low, high = self.layer.fake_quantize.limits
        return torch.where(self.rest == 0, self.nearest, self.below + up).clamp(low, high)

    def weight(self, steps: Tensor) -> Tensor:
        """The layer's weight before its batch norm."""
        return steps * self.scale / self.factor


def round_adaptively(layer: Layer, seen: Seen) -> Rounded:
    """Choose how each weight of the layer is rounded, and hold its scale.

    Args:
        layer: with its float weight.
        seen: what it reads and is to give, sample by sample.

    Returns:
        The errors before and after; equal where rounding to the nearest was no worse.

    """
    order = torch.randperm(len(seen.inputs))
    split = len(order) - len(order) // _HELD_OUT
    wanted = layer.activated(seen.wanted)
    grid = _grid(layer)
    learnt = grid.steps(_learn(grid, seen.inputs[order[:split]], wanted[order[:split]]))
    # Of one sample there is nothing to hold out.
    held_out = order[split:] if split < len(order) else order
    nearest, adaptive = (
        _errors(grid, steps, seen.inputs[held_out], wanted[held_out])
        for steps in (grid.nearest, learnt)
    )
    better = adaptive < nearest
    if groups_of(layer.node) > 1:
        # Their output channels lie on two axes of the weight: all of them, or none.
        better = (adaptive.sum() < nearest.sum()).expand(len(better))
        shown = better[:1]
    else:
        shown = better
    mask = along(shown, learnt.dim(), WEIGHTED[layer.node.target])
    taken = torch.where(mask, learnt, grid.nearest)
    layer.fake_quantize.hold((taken - grid.nearest).to(torch.int8))
    error = torch.where(better, adaptive, nearest).sum()
    return Rounded(layer.name, float(nearest.sum()), float(error))


def _grid(layer: Layer) -> _Grid:
    weight, scale = layer.weight.detach(), layer.fake_quantize.scale
    factor = layer.fake_quantize.factor(weight)
    if len(scale) > 1:
        scale = along(scale, weight.dim(), WEIGHTED[layer.node.target])
    # As the fake-quantize does it.
    exact = weight * factor * (1 / scale)
    below = exact.floor()
    rest = torch.where(layer.fake_quantize.vanishing(weight), 0.0, exact - below)
    return _Grid(layer, factor, scale.clone(), exact.round(), below, rest)


def _learn(grid: _Grid, inputs: Tensor, wanted: Tensor) -> Tensor:
    """0 or 1 for each weight."""
    high, low = _STRETCH
    sigmoid = (grid.rest.clamp(1e-3, 1 - 1e-3) - low) / (high - low)
    variable = torch.logit(sigmoid).requires_grad_()
    optimizer = torch.optim.Adam([variable], lr=_RATE)
    count = _samples(grid.layer, wanted)
    batches: list[Tensor] = []
    unit = float(_errors(grid, grid.nearest, inputs, wanted).sum()) / len(inputs)
    for iteration in range(_ITERATIONS if unit > 0 else 0):
        if not batches:
            batches = list(torch.split(torch.randperm(len(inputs)), count))
        chosen = batches.pop()
        with torch.enable_grad():
            up = (torch.sigmoid(variable) * (high - low) + low).clamp(0, 1)
            given = _given(grid.layer, inputs[chosen], grid.weight(grid.steps(up)))
            loss = (given - wanted[chosen]).square().sum() / len(chosen) / unit
            loss = loss + _REGULARISER * _undecided(up, iteration / _ITERATIONS)
            optimizer.zero_grad()
            (variable.grad,) = torch.autograd.grad(loss, [variable])
        optimizer.step()
    return (variable.detach() >= 0).float()


def _undecided(up: Tensor, done: float) -> Tensor:
    """The regulariser: how far from 0 and 1 they are, ever more strictly."""
    if done < _WARM_UP:
        return up.new_zeros(())
    first, last = _BETA
    share = (done - _WARM_UP) / (1 - _WARM_UP)
    beta = last + 0.5 * (first - last) * (1 + math.cos(share * math.pi))
    return (1 - (2 * up - 1).abs().pow(beta)).mean()


def _given(layer: Layer, inputs: Tensor, weight: Tensor) -> Tensor:
    return layer.activated(layer.sums(inputs, weight))


def _errors(grid: _Grid, steps: Tensor, inputs: Tensor, wanted: Tensor) -> Tensor:
    """Summed over samples and positions, by output channel, [C]."""
    weight, layer = grid.weight(steps), grid.layer
    count = _samples(layer, wanted)
    channels = wanted.dim() - 1 if layer.is_linear else 1
    total = torch.zeros(wanted.shape[channels], dtype=torch.float64)
    for x, y in zip(torch.split(inputs, count), torch.split(wanted, count), strict=True):
        error = (_given(layer, x, weight) - y).double().square()
        total += error.transpose(0, channels).flatten(1).sum(1)
    return total


def _samples(layer: Layer, outputs: Tensor) -> int:
    """How many samples one iteration takes."""
    products = layer.weight.numel() / layer.weight.shape[WEIGHTED[layer.node.target]]
    affordable = int(_WORK / (products * outputs[0].numel()))
    return max(2, min(_MOST_SAMPLES, affordable))
