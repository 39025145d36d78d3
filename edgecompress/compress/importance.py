"""How much each channel matters, and the group lasso that makes channels matter less.

Scores are per unit of a group: the removal of one removes that unit from every layer it touches,
so every slot's weights count. torch-pruning's own scorers are not used: its Taylor score drops
batch norms and mismatches indices it sorts in place, and neither knows units of several channels.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from edgecompress.compress.fisher import fisher
from edgecompress.compress.groups import (
    CONV,
    WEIGHTED,
    ChannelGroup,
    Slot,
    merge,
)
from edgecompress.compress.macs import evaluating
from edgecompress.compress.surgery import masked
from edgecompress.errors import ModelError

Importance = Literal["magnitude", "taylor", "fisher", "bn_scale", "loss"]
Loss = Callable[[nn.Module], Tensor]
Value = Callable[[Tensor], Tensor]

BATCH_NORM = nn.modules.batchnorm._BatchNorm


def scores(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    importance: Importance,
    loss: Loss,
    block: Callable[[ChannelGroup], int],
) -> list[Tensor]:
    """One score per unit for each group, float32 [units]; low ones go first. Only comparable
    within a group.

    Args:
        model: scored as it is; its gradients are cleared.
        groups: checked groups of `model`.
        importance: magnitude is the group L2 norm (DepGraph, Fang et al., 2023); taylor is
            |weight x gradient| summed (Molchanov et al., 2019); fisher is the increase of the loss
            expected to the second order (Theis et al., 2018; fisher.py); bn_scale is |gamma|
            (network slimming, Liu et al., 2017), and magnitude in groups without batch norm; loss
            is the measured increase of `loss` when a block of units is masked.
        loss: mean loss on fixed batches, differentiable.
        block: units measured together by 'loss' (neighbours in magnitude): as many as are
            removed together.

    Raises:
        ModelError: the loss is not finite, or does not reach the weights.

    """
    if importance == "taylor":
        return _taylor(model, groups, loss)
    if importance == "fisher":
        with evaluating(model), torch.enable_grad():
            return fisher(model, groups, lambda scored: differentiable(loss(scored)))
    magnitudes = [_reduce(model, _indices(group), torch.square).sqrt().detach() for group in groups]
    if importance == "loss":
        return [
            _measured(model, group, magnitude, loss, block(group))
            for group, magnitude in zip(groups, magnitudes, strict=True)
        ]
    if importance == "bn_scale":
        norms = [_batch_norms(model, group) for group in groups]
        return [
            _reduce(model, norm, torch.abs).detach() if norm else magnitude
            for norm, magnitude in zip(norms, magnitudes, strict=True)
        ]
    return magnitudes


class GroupSparsity:
    """Group lasso (Yuan & Lin, 2006) over the groups that `prune` may cut: added to the loss it
    drives whole channels towards zero before they are removed.
    """

    def __init__(self, model: nn.Module, groups: Sequence[ChannelGroup]) -> None:
        self._model = model
        self._indices = [_indices(group) for group in groups]

    def penalty(self) -> Tensor:
        """Sum of the L2 norms of all units, scalar, differentiable."""
        # The small constant keeps the gradient of a zero unit finite.
        norms = [
            (_reduce(self._model, i, torch.square) + 1e-12).sqrt().sum() for i in self._indices
        ]
        return torch.stack(norms).sum()


def _taylor(model: nn.Module, groups: Sequence[ChannelGroup], loss: Loss) -> list[Tensor]:
    trainable = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.zero_grad(set_to_none=True)
    try:
        model.requires_grad_(True)
        with evaluating(model), torch.enable_grad():
            torch.autograd.backward(differentiable(loss(model)))
        return [
            _reduce(model, _indices(group), _weight_times_gradient).detach() for group in groups
        ]
    finally:
        model.zero_grad(set_to_none=True)
        for parameter, flag in trainable.items():
            parameter.requires_grad_(flag)


def _measured(
    model: nn.Module, group: ChannelGroup, magnitude: Tensor, loss: Loss, block: int
) -> Tensor:
    order = magnitude.argsort(stable=True).tolist()
    result = torch.zeros(len(order))
    with evaluating(model), torch.no_grad():
        for start in range(0, len(order), block):
            members = order[start : start + block]
            with masked(model, merge(group.units[i] for i in members)):
                # The base loss is the same for all, so it need not be subtracted.
                result[members] = finite(loss(model))
    # Within a block that was measured as one, magnitude decides.
    return result + magnitude.cpu() / magnitude.sum().clamp_min(1e-12).cpu() * 1e-6


def measured(model: nn.Module, loss: Loss) -> float:
    """The loss of `model` as it is. Raises ModelError when it is no number."""
    with evaluating(model), torch.no_grad():
        return finite(loss(model))


def finite(value: Tensor | float) -> float:
    number = float(value.detach()) if isinstance(value, Tensor) else value
    if number != number or number in (float("inf"), float("-inf")):
        raise ModelError(
            f"task: the loss on the calibration data is {number}; cannot rank channels"
        )
    return number


def differentiable(value: Tensor) -> Tensor:
    """The loss itself. Raises ModelError when it is no number, or has no gradient."""
    finite(value)
    if not value.requires_grad:
        raise ModelError(
            "task: the loss does not depend on the weights (forward() or loss() runs without"
            " gradients), so channels cannot be ranked by it; use importance: magnitude"
        )
    return value


def comparable(
    ranking: Sequence[Tensor],
    importance: Importance,
    block: Sequence[int],
    base: Callable[[], float],
) -> list[Tensor]:
    """`scores` made comparable over groups: as they are where they are increases of the loss, else
    in units of the mean of their group (as DepGraph's implementation has it).

    Args:
        ranking: from `scores`.
        importance: which.
        block: for each group how many units 'loss' has measured together.
        base: the loss with nothing masked.

    """
    if importance == "loss":
        whole = base()
        return [
            (score - whole).clamp_min(0) / size for score, size in zip(ranking, block, strict=True)
        ]
    if importance in ("taylor", "fisher"):
        return list(ranking)
    return [score / score.mean().clamp_min(torch.finfo(score.dtype).tiny) for score in ranking]


def _indices(group: ChannelGroup) -> dict[Slot, Tensor]:
    """Channels of each slot: int64 [units, channels in a unit]."""
    return {
        slot: torch.tensor([unit[slot] for unit in group.units])
        for slot in group.slots
        if slot.side != "attribute"
    }


def _reduce(model: nn.Module, indices: dict[Slot, Tensor], value: Value) -> Tensor:
    """`value` of each weight, summed over all that a unit would remove: [units]."""
    parts = []
    for slot, index in indices.items():
        owner = None if slot.side == "parameter" else model.get_submodule(slot.layer)
        weight = model.get_parameter(slot.layer) if owner is None else owner.weight
        # A batch norm without affine has none.
        if isinstance(weight, Tensor):
            parts.append(_by_channel(owner, slot, value(weight))[index].sum(1))
    return torch.stack(parts).sum(0)


def _by_channel(owner: nn.Module | None, slot: Slot, values: Tensor) -> Tensor:
    """Sum `values`, shaped like the weight, over everything but the channels of `slot`: [C]."""
    if not isinstance(owner, WEIGHTED):
        return values.movedim(slot.dim, 0).flatten(1).sum(1) if values.dim() > 1 else values
    transposed = isinstance(owner, CONV) and owner.transposed
    if (slot.side == "out") != transposed:
        return values.flatten(1).sum(1)
    # The other dimension counts within one group of a grouped convolution.
    groups = owner.groups if isinstance(owner, CONV) else 1
    return values.reshape(groups, -1, values.shape[1], values[0, 0].numel()).sum((1, 3)).flatten()


def _weight_times_gradient(weight: Tensor) -> Tensor:
    gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
    return (weight.detach() * gradient).abs()


def _batch_norms(model: nn.Module, group: ChannelGroup) -> dict[Slot, Tensor]:
    return {
        slot: index
        for slot, index in _indices(group).items()
        if slot.side == "out"
        and isinstance(norm := model.get_submodule(slot.layer), BATCH_NORM)
        and norm.affine
    }
