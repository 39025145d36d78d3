"""`quantize.equalise`: channels of two layers in a row get ranges of one size, in float.

ReLU and all that is linear in each channel let a positive factor through, as relu(x / s) * s =
relu(x). So an output channel of one layer may be divided by s and that input channel of the next
multiplied by it, and the model computes the same. As in Nagel et al. (2019, "Data-free quantization
through weight equalization and bias correction", section 4.1), s = sqrt(r1 / r2), r1 and r2 the
largest weights of that channel in the two layers, batch norm folded in; all pairs again and again,
until nothing moves.

Where a channel's factor would not come through (ReLU6, sigmoid, a result that several read), the
pair stays as it is, and is told.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgecompress.compress.fx import (
    ATEN,
    fake,
    has_one_reader,
    hold,
    input_of,
    integers_in,
    number_at,
    only_user,
    optional_input,
    stored,
)
from edgecompress.compress.operators import PADDING, WEIGHTED
from edgecompress.compress.units import kind_of, operator_names

_HOMOGENEOUS = {
    ATEN.relu.default,
    ATEN.leaky_relu.default,
    ATEN.dropout.default,
    ATEN.clone.default,
    ATEN.contiguous.default,
}
"""Operators f of single numbers with f(x * s) = f(x) * s for s > 0."""
_CHANNELWISE = {
    ATEN.max_pool1d.default,
    ATEN.max_pool2d.default,
    ATEN.avg_pool1d.default,
    ATEN.avg_pool2d.default,
    ATEN.adaptive_avg_pool2d.default,
    ATEN.adaptive_max_pool2d.default,
    ATEN.upsample_nearest1d.vec,
    ATEN.upsample_nearest2d.vec,
    ATEN.upsample_nearest2d.default,
    ATEN.upsample_bilinear2d.vec,
    ATEN.upsample_bilinear2d.default,
}
"""The same of whole channels of [N, C, ..]."""
_FLATTENING = {
    ATEN.flatten.using_ints,
    ATEN.view.default,
    ATEN.reshape.default,
    ATEN.squeeze.dims,
    ATEN.squeeze.dim,
    ATEN.squeeze.default,
}
_SWEEPS = 40
_STILL = 1e-3
"""A sweep that changes no factor by more than this is the last."""
_LARGEST = 2.0**8
"""No channel's factor in one sweep is further from 1."""


@dataclass(frozen=True)
class Equalised:
    """What was done, in operators' names as `keep_float` takes them."""

    pairs: tuple[tuple[str, str], ...]
    left: tuple[tuple[str, str], ...]
    """Layers whose results were not equalised with what follows, and why."""


@dataclass(frozen=True)
class _Pair:
    before: Node
    batch_norm: Node | None
    """Behind the first layer."""
    after: Node
    repeats: int
    """How many inputs in a row of the second layer are of one channel of the first."""


def equalise(gm: GraphModule) -> Equalised:
    """Equalise all pairs of a captured float graph, in place."""
    names = operator_names(gm)
    pairs, left = [], []
    for node in gm.graph.nodes:
        if node.target in WEIGHTED:
            found = _pair(gm, node)
            if isinstance(found, _Pair):
                pairs.append(found)
            else:
                left.append((names[node], found))
    for pair in pairs:
        if pair.batch_norm is not None:
            _give_gain(gm, pair.batch_norm)
        for layer in (pair.before, pair.after):
            weight = stored(gm, input_of(layer, 1))
            weight.data = weight.data.contiguous()  # what is scaled is a view of it
    with torch.no_grad():
        for _ in range(_SWEEPS):
            if max((_equalise(gm, pair) for pair in pairs), default=0.0) < _STILL:
                break
    gm.recompile()
    return Equalised(tuple((names[p.before], names[p.after]) for p in pairs), tuple(left))


def _pair(gm: GraphModule, node: Node) -> "_Pair | str":
    """The layer that reads what `node` gives, or why a factor does not come through to one."""
    if not _own(node):
        return "its weight is shared or computed"
    following, batch_norm, repeats = only_user(node), None, 1
    if following is not None and following.target is ATEN.batch_norm.default:
        if not _fixed(following):
            return "its batch norm has no fixed statistics of its own"
        batch_norm, following = following, only_user(following)
    channels, images = _channels(gm, node), node.target is not ATEN.linear.default
    while following is not None and following.target not in WEIGHTED:
        if following.op == "output":
            return "the model's output"
        if not _lets_through(following, images):
            return f"{kind_of(following)} does not let a factor through"
        repeats = _width(following) // channels if following.target in _FLATTENING else repeats
        following = only_user(following)
    if following is None:
        return "several read it, or nobody"
    if not _own(following):
        return "the weight of the next layer is shared or computed"
    along = following.target is ATEN.linear.default
    if along is images and not (along and fake(input_of(following)).dim() == 2):
        return "the next layer reads another dimension"
    if _inputs(gm, following) != channels * repeats:
        return "the next layer reads other channels"
    return _Pair(node, batch_norm, following, repeats)


def _lets_through(node: Node, images: bool) -> bool:
    """Whether a factor of each channel comes through; `images`: the channels are dimension 1, and
    not the last.
    """
    if node.target in _HOMOGENEOUS:
        return True
    value = fake(input_of(node)) if optional_input(node, 0) is not None else None
    if not isinstance(value, Tensor) or not images or value.dim() < 3:
        return False
    if node.target is ATEN.mean.dim:
        return all(d % value.dim() > 1 for d in integers_in(node.args[1]))
    if node.target in PADDING:
        where = 2 if node.target is ATEN.constant_pad_nd.default else 3
        number = node.args[where] if len(node.args) > where else None
        around = 2 * (value.dim() - 2)
        return number in (None, 0) and len(integers_in(node.args[1])) <= around
    if node.target in _FLATTENING:
        # [N, C, ..] to [N, C * ..]: the channels stay in order.
        whole = math.prod(int(size) for size in value.shape[1:])
        return fake(node).dim() == 2 and _width(node) == whole
    return node.target in _CHANNELWISE


def _width(node: Node) -> int:
    return int(fake(node).shape[1])


def _own(node: Node) -> bool:
    """Whether its weight, and its bias, are parameters that nothing else reads."""
    weight, bias = optional_input(node, 1), optional_input(node, 2)
    return weight is not None and all(has_one_reader(n) for n in (weight, bias) if n is not None)


def _fixed(batch_norm: Node) -> bool:
    """Whether its factor is known, and is its own."""
    mean, variance = optional_input(batch_norm, 3), optional_input(batch_norm, 4)
    gains = [optional_input(batch_norm, index) for index in (1, 2)]
    known = mean is not None and variance is not None and not batch_norm.args[5]
    return known and all(has_one_reader(gain) for gain in gains if gain is not None)


def _channels(gm: GraphModule, node: Node) -> int:
    weight = _matrix(gm, node)
    return int(weight.shape[0] * weight.shape[1])


def _inputs(gm: GraphModule, node: Node) -> int:
    weight = _matrix(gm, node)
    return int(weight.shape[0] * weight.shape[2])


def _matrix(gm: GraphModule, node: Node) -> Tensor:
    """A view of the weight as [groups, outputs, inputs, positions]; of a group each."""
    weight = stored(gm, input_of(node, 1)).detach()
    linear = node.target is ATEN.linear.default
    groups = 1 if linear or len(node.args) <= 6 else int(number_at(node, 6))
    if linear:
        return weight[None, :, :, None]
    shape = weight.shape
    matrix = weight.reshape(groups, shape[0] // groups, shape[1], -1)
    return matrix.transpose(1, 2) if WEIGHTED[node.target] == 1 else matrix


def _factor(gm: GraphModule, batch_norm: Node | None) -> Tensor:
    """The size by which a batch norm multiplies each channel."""
    if batch_norm is None:
        return torch.ones(1)
    variance = stored(gm, input_of(batch_norm, 4))
    factor = torch.rsqrt(variance + number_at(batch_norm, 7)).abs()
    gain = optional_input(batch_norm, 1)
    return factor if gain is None else factor * stored(gm, gain).detach().abs()


def _behind(node: Node) -> Node | None:
    following = only_user(node)
    if following is None or following.target is not ATEN.batch_norm.default:
        return None
    return following if _fixed(following) else None


def _equalise(gm: GraphModule, pair: _Pair) -> float:
    """The largest change of a factor, as a logarithm."""
    first, second = _matrix(gm, pair.before), _matrix(gm, pair.after)
    ours = first.abs().amax((2, 3)).flatten() * _factor(gm, pair.batch_norm)
    behind = _factor(gm, _behind(pair.after))
    shape = (len(second), -1, 1, 1) if len(behind) > 1 else (1, 1, 1, 1)
    folded = second.abs() * behind.reshape(shape)
    theirs = folded.amax((1, 3)).reshape(-1, pair.repeats).amax(1)
    alive = (ours > 0) & (theirs > 0)
    factor = torch.where(alive, (ours / theirs.where(alive, torch.ones(()))).sqrt(), 1.0)
    factor = factor.clamp(1 / _LARGEST, _LARGEST)
    for tensor in _scaled(gm, pair, first):
        tensor.div_(factor.reshape(len(first), -1, 1, 1) if tensor.dim() == 4 else factor)
    inputs = factor.repeat_interleave(pair.repeats)
    second.mul_(inputs.reshape(len(second), 1, -1, 1))
    return float(factor.log().abs().max())


def _scaled(gm: GraphModule, pair: _Pair, weight: Tensor) -> Iterator[Tensor]:
    """What makes the first layer's results smaller when it is divided."""
    if pair.batch_norm is None:
        yield weight
        bias = optional_input(pair.before, 2)
        if bias is not None:
            yield stored(gm, bias).detach()
        return
    for index in (1, 2):
        yield stored(gm, input_of(pair.batch_norm, index)).detach()


def _give_gain(gm: GraphModule, batch_norm: Node) -> None:
    """One without a gain or a shift gets those that change nothing."""
    like = stored(gm, input_of(batch_norm, 3))
    for index, value in ((1, torch.ones_like(like)), (2, torch.zeros_like(like))):
        if optional_input(batch_norm, index) is None:
            name = f"{batch_norm.name}_{'weight' if index == 1 else 'bias'}"
            batch_norm.update_arg(index, hold(gm, batch_norm, name, nn.Parameter(value)))
