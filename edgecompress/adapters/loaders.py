"""Loaders of others, whose batches have a form of their own."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader

Convert = Callable[[Any], Any]
"""A batch as their loader gives it, to (inputs, target)."""


def converted(loader: Iterable[Any], convert: Convert) -> Iterable[Any]:
    """The loader, giving pairs. A DataLoader stays one, so that its workers and its generator are
    treated as ever; the one that is given is not touched.
    """
    if not isinstance(loader, DataLoader):
        return _Converted(loader, convert)
    other = copy.copy(loader)
    # By way of the dictionary, because a DataLoader lets nobody set some of them later.
    other.__dict__ |= {"collate_fn": _Collate(loader.collate_fn, convert), "_iterator": None}
    return other


@dataclass(frozen=True)
class _Collate:
    collate: Callable[[Any], Any]
    convert: Convert

    def __call__(self, samples: Any) -> Any:
        return self.convert(self.collate(samples))


class _Converted:
    def __init__(self, data: Iterable[Any], convert: Convert) -> None:
        self._data, self._convert = data, convert

    def __iter__(self) -> Iterator[Any]:
        return map(self._convert, self._data)
