"""Fisher importance: what the loss would gain if channels were masked, to the second order.

Theis et al. (2018, "Faster gaze prediction with dense networks and Fisher pruning"): near a minimum
the gradient of the loss vanishes on average and its Hessian is the Fisher information, so that a
mask of zero in place of one costs half the mean over the samples of the squared gradient with
respect to that mask. The gradient is the sum of activation x gradient over all that the mask
multiplies, as in Molchanov et al. (2019). Masks are where `surgery.masked` has them: on what the
consumers read.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgecompress.compress.groups import CONV, ChannelGroup
from edgecompress.compress.hooks import hooked

_Hook = Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor]], Any]
Masks = dict[str, list[Tensor]]
"""One for each batch that a layer has read: [samples, channels]."""


def fisher(
    model: nn.Module, groups: Sequence[ChannelGroup], loss: Callable[[nn.Module], Tensor]
) -> list[Tensor]:
    """The expected increase of the loss for each unit of each group, float32 [units].

    Args:
        model: in eval mode, with gradients enabled; it is as it was afterwards.
        groups: checked groups of `model`.
        loss: mean loss on fixed batches, differentiable.

    """
    consumers = {slot.layer for group in groups for slot in group.slots if slot.side == "in"}
    with _reading_through_masks(model, consumers) as masks:
        value = loss(model)
    every = [mask for read in masks.values() for mask in read]
    found = torch.autograd.grad(value, every, allow_unused=True, materialize_grads=True)
    gradients = dict(zip(map(id, every), found, strict=True))
    # The loss is a mean over batches, and each of them one over its samples.
    slopes = {
        layer: [gradients[id(mask)] * len(mask) * len(read) for mask in read]
        for layer, read in masks.items()
    }
    return [_of_units(group, slopes) for group in groups]


@contextmanager
def _reading_through_masks(model: nn.Module, layers: set[str]) -> Iterator[Masks]:
    """Inside, each layer multiplies what it reads by ones, which are noted."""
    masks: Masks = defaultdict(list)

    def masking(name: str) -> _Hook:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> Any:
            x, *_ = (*inputs, *named.values())
            axis = 1 if isinstance(layer, CONV) else x.dim() - 1
            ones = torch.ones(len(x), x.shape[axis], device=x.device, dtype=x.dtype)
            masks[name].append(ones.requires_grad_())
            sizes = [1] * x.dim()
            sizes[0], sizes[axis] = len(x), x.shape[axis]
            x = x * ones.view(sizes)
            return ((x, *inputs[1:]), named) if inputs else ((), {**named, next(iter(named)): x})

        return hook

    hooks = (
        model.get_submodule(name).register_forward_pre_hook(masking(name), with_kwargs=True)
        for name in sorted(layers)
    )
    with hooked(hooks):
        yield masks


def _of_units(group: ChannelGroup, slopes: dict[str, list[Tensor]]) -> Tensor:
    """Half the mean square of the slopes of each unit, over samples; over batches where a layer
    does not read sample by sample, as behind a reshape.
    """
    read = {slot: slopes.get(slot.layer, []) for slot in group.slots if slot.side == "in"}
    total, count = torch.zeros(len(group.units)), 0
    for parts in zip(*read.values(), strict=True):
        is_aligned = len({len(part) for part in parts}) == 1
        together = torch.zeros(())
        for slot, part in zip(read, parts, strict=True):
            index = torch.tensor([unit[slot] for unit in group.units], device=part.device)
            slope = part[:, index].sum(2).float().cpu()
            together = together + (slope if is_aligned else slope.mean(0, keepdim=True))
        total += together.square().sum(0)
        count += len(together)
    return total / max(2 * count, 1)
