"""Batch norm in a quantised graph.

What ships has no batch norm: it is folded into the weights of the convolution before it. So QAT
must quantise the folded weights, while statistics and gains are still learnt. As in Jacob et al.
(2018, section 3.2), with f = gamma / sqrt(running_var + eps):

    trained    y = BN(conv(x, Q(W * f) / f) + b)
    shipped    y = conv(x, Q(W * f)) + (b - running_mean) * f + beta

The two are equal when BN uses its running statistics, whatever Q is. torchao has patterns for
this too, but only with eps = 1e-5 and not for transposed convolutions (torchao 0.18, qat_utils).
"""

from operator import getitem

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn import functional

from edgecompress.compress.fake_quantize import AdjustedFakeQuantize
from edgecompress.compress.fx import (
    ATEN,
    fake,
    free_name,
    hold,
    input_of,
    number_at,
    optional_input,
    stored,
)
from edgecompress.compress.operators import WEIGHTED

_TRANSPOSED = {op for op, axis in WEIGHTED.items() if axis == 1}
CONVOLUTIONS = WEIGHTED.keys() - _TRANSPOSED - {ATEN.linear.default}
_CONV_OF_RANK = {3: ATEN.conv1d.default, 4: ATEN.conv2d.default, 5: ATEN.conv3d.default}
_OWN_STATISTICS = ATEN._native_batch_norm_legit.no_stats
_TINY = 1e-6
_NORMS = (ATEN.batch_norm.default, ATEN.instance_norm.default)
"""Operators on (x, weight, bias, running_mean, running_var, training, momentum, eps, ..). What the
second calls `use_input_stats` is true while it trains.
"""


class BatchNorm(nn.Module):
    """A batch norm of the captured graph whose factor the weight before it can ask for."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, gm: GraphModule, node: Node) -> None:
        super().__init__()
        gamma, beta = optional_input(node, 1), optional_input(node, 2)
        mean, var = stored(gm, input_of(node, 3)), stored(gm, input_of(node, 4))
        weight = torch.ones_like(mean) if gamma is None else stored(gm, gamma)
        bias = torch.zeros_like(mean) if beta is None else stored(gm, beta)
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        self.register_buffer("running_mean", mean.detach().clone())
        self.register_buffer("running_var", var.detach().clone())
        self.momentum, self.eps = number_at(node, 6), number_at(node, 7)
        # In training an instance norm has statistics of its own for each sample.
        self.frozen = node.target is ATEN.instance_norm.default

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training and not self.frozen,
            self.momentum,
            self.eps,
        )

    def factor(self) -> Tensor:
        """f, one per channel."""
        return (self.weight * torch.rsqrt(self.running_var + self.eps)).detach()

    def shift(self, bias: Tensor | None) -> Tensor:
        """The bias of the folded convolution."""
        mean = self.running_mean if bias is None else self.running_mean - bias
        return (self.bias - mean * self.factor()).detach()


class FoldingFakeQuantize(AdjustedFakeQuantize):
    """Fake-quantises a weight as it will ship: with the batch norm after it folded in."""

    batch_norm: BatchNorm | None = None
    axis = 0

    def follow(self, batch_norm: BatchNorm, axis: int) -> None:
        """Quantise W * f from now on. The module stays where it is in the tree."""
        object.__setattr__(self, "batch_norm", batch_norm)
        self.axis = axis

    def forward(self, weight: Tensor) -> Tensor:
        if self.batch_norm is None:
            return super().forward(weight)
        factor = self.factor(weight)
        return super().forward(weight * factor) / factor

    def factor(self, weight: Tensor) -> Tensor:
        """What the weight is multiplied by before it is quantised, to broadcast along it."""
        if self.batch_norm is None:
            return torch.ones(())
        factor = self.batch_norm.factor()
        # A gain of zero switches the channel off after this; here it must only stay divisible.
        factor = torch.where(factor.abs() < _TINY, torch.full_like(factor, _TINY), factor)
        return along(factor, weight.dim(), self.axis)

    def vanishing(self, weight: Tensor) -> Tensor:
        """Where the folded weight is zero: it is so itself, or its channel is switched off."""
        if self.batch_norm is None:
            return weight == 0
        off = self.batch_norm.factor().abs() < _TINY
        return (weight == 0) | along(off, weight.dim(), self.axis)


def along(values: Tensor, rank: int, axis: int) -> Tensor:
    """`values` [C] as a tensor of that rank that broadcasts along `axis`."""
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def groups_of(node: Node) -> int:
    """How many groups a transposed convolution has; 1 for every other operator."""
    return int(number_at(node, 6)) if node.target in _TRANSPOSED and len(node.args) > 6 else 1


def make_batch_norms_foldable(gm: GraphModule) -> None:
    """Turn every batch norm that follows a weighted operator into a `BatchNorm` module, and every
    other into the depthwise 1x1 convolution that it is once its statistics are fixed. One without
    statistics normalises by those of its input, like an instance norm, and stays in float.
    """
    for index, node in enumerate(list(gm.graph.nodes)):
        if node.target not in _NORMS:
            continue
        if not _has_statistics(node):
            _hide(gm, node)
            continue
        batch_norm = BatchNorm(gm, node)
        rank, before = fake(node).dim(), input_of(node)
        with gm.graph.inserting_before(node):
            if _takes_in_batch_norm(before):
                _untie(gm, before)
                name = free_name(gm, f"batch_norm_{index}")
                gm.add_submodule(name, batch_norm)
                new = gm.graph.call_module(name, (before,))
            elif rank in _CONV_OF_RANK:
                new = _as_depthwise(gm, node, batch_norm, rank)
            else:
                continue  # [N, C] with nothing to fold into: stays in float
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        gm.graph.erase_node(node)
    _clean(gm)


def pair(gm: GraphModule) -> None:
    """After prepare: let each weight's fake-quantize follow the batch norm behind it."""
    modules = dict(gm.named_modules())
    for node in gm.graph.nodes:
        batch_norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(batch_norm, BatchNorm):
            conv = input_of(node)
            fake_quantize = modules.get(str(input_of(conv, 1).target))
            if isinstance(fake_quantize, FoldingFakeQuantize):
                fake_quantize.follow(batch_norm, WEIGHTED[conv.target])


def fold(gm: GraphModule) -> None:
    """Fold every `BatchNorm` into the weight and bias before it, in place; after training."""
    modules = dict(gm.named_modules())
    for node in list(gm.graph.nodes):
        batch_norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(batch_norm, BatchNorm):
            continue
        conv = input_of(node)
        holder = input_of(conv, 1)
        fake_quantize = modules.get(str(holder.target))
        if isinstance(fake_quantize, FoldingFakeQuantize):
            holder = input_of(holder)
        weight, old = stored(gm, holder), optional_input(conv, 2)
        factor = along(batch_norm.factor(), weight.dim(), WEIGHTED[conv.target])
        with torch.no_grad():
            bias = batch_norm.shift(None if old is None else stored(gm, old))
            weight.copy_(weight * factor)
        if isinstance(fake_quantize, FoldingFakeQuantize):
            object.__setattr__(fake_quantize, "batch_norm", None)
            fake_quantize(weight)  # its range is now that of the folded weight itself
        _set_bias(gm, conv, holder, bias)
        node.replace_all_uses_with(conv)
        gm.graph.erase_node(node)
    _clean(gm)


def freeze_statistics(gm: GraphModule) -> None:
    """From here on batch norm uses its running statistics and no longer updates them."""
    for module in gm.modules():
        if isinstance(module, BatchNorm):
            module.frozen = True


def _hide(gm: GraphModule, node: Node) -> None:
    """The same operator by a name that torchao does not take for a batch norm to be folded."""
    if node.target is not ATEN.batch_norm.default:
        return
    x, weight, bias = node.args[:3]
    momentum, eps = number_at(node, 6), number_at(node, 7)
    with gm.graph.inserting_before(node):
        call = gm.graph.call_function
        normalised = call(_OWN_STATISTICS, (x, weight, bias, True, momentum, eps))
        new = call(getitem, (normalised, 0))
    normalised.meta, new.meta = {**node.meta, "val": (node.meta["val"],)}, dict(node.meta)
    node.replace_all_uses_with(new)
    gm.graph.erase_node(node)


def _has_statistics(node: Node) -> bool:
    measured = bool(node.args[5])
    return not measured and all(optional_input(node, index) is not None for index in (3, 4))


def _takes_in_batch_norm(node: Node) -> bool:
    if node.target not in WEIGHTED or len(node.users) != 1:
        return False
    if input_of(node, 1).op != "get_attr":
        return False
    if node.target is ATEN.linear.default:
        return fake(node).dim() == 2
    # The output channels of a grouped transposed convolution lie on two axes of its weight.
    return groups_of(node) == 1


def _untie(gm: GraphModule, conv: Node) -> None:
    """Give `conv` a weight of its own where another operator uses the same one."""
    holder = input_of(conv, 1)
    same = [n for n in gm.graph.nodes if n.op == "get_attr" and n.target == holder.target]
    if sum(len(n.users) for n in same) == 1:
        return
    own = _constant(gm, conv, f"{conv.name}_weight", stored(gm, holder).detach())
    own.meta["nn_module_stack"] = conv.meta.get("nn_module_stack")
    conv.update_arg(1, own)


def _as_depthwise(gm: GraphModule, node: Node, batch_norm: BatchNorm, rank: int) -> Node:
    """Y = x * f + shift is a grouped 1x1 convolution, which int8 kernels can run exactly: each
    channel has a weight scale of its own.
    """
    channels = batch_norm.running_mean.numel()
    weight = batch_norm.factor().reshape([channels, 1] + [1] * (rank - 2))
    weight_node = _constant(gm, node, f"{node.name}_weight", weight)
    bias_node = _constant(gm, node, f"{node.name}_bias", batch_norm.shift(None))
    ones, zeros = [1] * (rank - 2), [0] * (rank - 2)
    args = (node.args[0], weight_node, bias_node, ones, zeros, ones, channels)
    return gm.graph.call_function(_CONV_OF_RANK[rank], args)


def _set_bias(gm: GraphModule, conv: Node, holder: Node, bias: Tensor) -> None:
    node = _constant(gm, holder, f"{conv.name}_bias", bias)
    if len(conv.args) > 2:
        conv.update_arg(2, node)
    else:
        conv.args = (*conv.args, node)


def _constant(gm: GraphModule, before: Node, name: str, value: Tensor) -> Node:
    return hold(gm, before, name, nn.Parameter(value.clone()))


def _clean(gm: GraphModule) -> None:
    gm.graph.eliminate_dead_code()
    gm.delete_all_unused_submodules()
    gm.graph.lint()
    gm.recompile()
