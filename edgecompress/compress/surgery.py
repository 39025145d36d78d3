"""Remove channels from a model, or mask them: the two sides of the invariant that `verify` checks.

Masking zeroes the weights with which the consumers read the channels, so nothing that happens to
the channels on their way (bias, batch norm, activation) can matter.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch_pruning as tp
from torch import Tensor, nn

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.groups import CONV, ChannelGroup, Cuts, Slot


def cut(model: nn.Module, cuts: Cuts) -> nn.Module:
    """A copy of `model` without these channels.

    Raises:
        whatever torch does when a layer cannot lose them; `verify` turns it into a reason.

    """
    twin = duplicate(model)
    trainable = {name: p.requires_grad for name, p in twin.named_parameters()}
    jobs: list[Callable[[], object]] = []
    for slot, channels in cuts.items():
        if slot.side == "parameter":
            jobs.append(_parameter_job(twin, slot.layer, slot.dim, channels))
            continue
        if slot.side == "attribute":
            jobs.append(_attribute_job(twin.get_submodule(slot.module), slot, len(channels)))
            continue
        layer = twin.get_submodule(slot.layer)
        # Looked up before anything is cut: a grouped convolution can turn into a depthwise one.
        pruner = tp.pruner.function.PrunerBox[tp.ops.module2type(layer)]
        prune = pruner.prune_in_channels if slot.side == "in" else pruner.prune_out_channels
        jobs.append(partial(prune, layer, list(channels)))
    for job in jobs:
        job()
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(trainable[name])
        parameter.grad = None
    return twin


def _parameter_job(
    model: nn.Module, name: str, dim: int, channels: tuple[int, ...]
) -> Callable[[], None]:
    path, _, attribute = name.rpartition(".")
    owner = model.get_submodule(path)

    def job() -> None:
        old: Tensor = getattr(owner, attribute)
        kept = [i for i in range(old.shape[dim]) if i not in set(channels)]
        new = old.detach().index_select(dim, torch.tensor(kept, device=old.device))
        setattr(owner, attribute, nn.Parameter(new))

    return job


def _attribute_job(owner: nn.Module, slot: Slot, fewer: int) -> Callable[[], None]:
    name = slot.layer.rpartition(".")[2]
    return lambda: setattr(owner, name, getattr(owner, name) - fewer)


@contextmanager
def masked(model: nn.Module, cuts: Cuts) -> Iterator[None]:
    """Inside, the consumers of these channels read zeros; afterwards the weights are as before."""
    saved: list[tuple[nn.Parameter, Tensor]] = []
    try:
        with torch.no_grad():
            for slot, channels in cuts.items():
                if slot.side == "in":
                    layer = model.get_submodule(slot.layer)
                    weight = layer.get_parameter("weight")
                    saved.append((weight, weight.clone()))
                    _mask_inputs(layer, weight, torch.tensor(channels, device=weight.device))
        yield
    finally:
        with torch.no_grad():
            for weight, original in saved:
                weight.copy_(original)


def _mask_inputs(layer: nn.Module, weight: Tensor, channels: Tensor) -> None:
    if isinstance(layer, CONV) and layer.transposed:
        weight[channels] = 0
        return
    groups = layer.groups if isinstance(layer, CONV) else 1
    per_group = weight.shape[1]
    by_group = weight.view(groups, -1, *weight.shape[1:]).transpose(1, 2)
    by_group[channels // per_group, channels % per_group] = 0


def renumber(groups: Iterable[ChannelGroup], cuts: Cuts) -> list[ChannelGroup]:
    """The groups of `cut(model, cuts)`: units cut are gone, the others have new indices.
    The channels in `cuts` are sorted.
    """
    gone = {slot: set(channels) for slot, channels in cuts.items()}

    def moved(unit: Cuts) -> Cuts:
        return {
            slot: tuple(c - bisect_left(cuts.get(slot, ()), c) for c in channels)
            for slot, channels in unit.items()
        }

    result = []
    for group in groups:
        key = group.slots[0]
        left = [unit for unit in group.units if unit[key][0] not in gone.get(key, ())]
        result.append(ChannelGroup(group.name, tuple(moved(unit) for unit in left)))
    return result
