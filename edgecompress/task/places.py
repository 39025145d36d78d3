"""Where the tensors of a batch lie, and how a batch is divided by its samples."""

import dataclasses
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from edgecompress.task.base import Batch, inputs_of

CPU = torch.device("cpu")


def to_device(values: Any, device: torch.device) -> Any:
    """The same with every tensor in it on `device`: in tuples, lists, dicts and dataclasses, and
    whatever moves itself by a method `to`.
    """

    def moved(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.to(device)
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            parts = {field.name: getattr(leaf, field.name) for field in dataclasses.fields(leaf)}
            known = {name: to_device(part, device) for name, part in parts.items()}
            return dataclasses.replace(leaf, **known)
        move = getattr(leaf, "to", None)
        return move(device) if callable(move) and not isinstance(leaf, (type, nn.Module)) else leaf

    return tree_map(moved, values)


def device_of(model: object) -> torch.device:
    """Where a module's first parameter or buffer lies; the CPU for whatever has none."""
    if not isinstance(model, nn.Module):
        return CPU
    first = next(chain(model.parameters(), model.buffers()), None)
    return CPU if first is None else first.device


def divided(batch: Batch, parts: int) -> list[Batch]:
    """The batch in up to `parts` pieces of nearly the same number of samples, in their order; in
    fewer where one would have a single sample, of which batch norm has no statistics; and whole
    where its target does not say which part of it belongs to which sample.
    """
    samples = len(inputs_of(batch)[0])
    pieces = max(1, min(parts, samples // 2))
    if pieces == 1 or not _is_by_sample(batch[1], samples):
        return [batch]
    shares = [samples // pieces + (i < samples % pieces) for i in range(pieces)]
    bounds = list(pairwise([0, *accumulate(shares)]))
    return [(_cut(batch[0], samples, *b), _cut(batch[1], samples, *b)) for b in bounds]


def _is_by_sample(target: Any, samples: int) -> bool:
    """Whether each tensor in it, or each list that is a whole target, has one entry a sample."""
    if _is_list_of(target, samples):
        return True
    if isinstance(target, dict):
        return all(_is_by_sample(part, samples) for part in target.values())
    if isinstance(target, (tuple, list)):
        return all(_is_by_sample(part, samples) for part in target)
    # A number, a word or nothing is the same for every sample.
    return isinstance(target, (int, float, str, type(None))) or _is_aligned(target, samples)


def _is_list_of(target: Any, samples: int) -> bool:
    """Whether it is a list of one entry for each sample, such as the boxes of each image; tensors
    of one entry a sample each would be several targets.
    """
    if not isinstance(target, (tuple, list)) or len(target) != samples:
        return False
    leaves = [leaf for leaf in tree_leaves(target) if isinstance(leaf, Tensor)]
    return not leaves or not all(_is_aligned(leaf, samples) for leaf in leaves)


def _is_aligned(leaf: Any, samples: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == samples


def _cut(values: Any, samples: int, start: int, end: int) -> Any:
    if _is_list_of(values, samples):
        return values[start:end]
    if isinstance(values, dict):
        # Made anew as a plain dict, because others may want more than their items.
        return {name: _cut(part, samples, start, end) for name, part in values.items()}
    if isinstance(values, (tuple, list)):
        parts = [_cut(part, samples, start, end) for part in values]
        return parts if isinstance(values, list) else _as_tuple(values, parts)
    return tree_map(lambda leaf: leaf[start:end] if isinstance(leaf, Tensor) else leaf, values)


def _as_tuple(like: tuple[Any, ...], parts: Sequence[Any]) -> tuple[Any, ...]:
    """A tuple of the same class, where that is a named one."""
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)
