"""Which channels go together, as sets that grow while a graph is followed.

Every output channel of a layer gets a number, its id. Ids that must go together are joined
(union-find), and each set knows what it touches: channels of layers, and why it may have to stay.
A tensor's labels are ids in its own shape, as floats, so that operators which only move numbers can
move them too; 0 is a number that belongs to no channel.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from edgecompress.compress.groups import Cuts, Slot

INPUT = 1
"""The id of what the model is given, which no cut changes."""


class Ids:
    def __init__(self) -> None:
        self._parents = [0, INPUT]
        self._touched: list[tuple[Slot, int, int]] = []
        self._stuck: dict[int, str] = {INPUT: "its channels are joined with an input of the model"}

    def fresh(self, slot: Slot | None, count: int) -> Tensor:
        """New ids for the channels of `slot`: float64 [count]."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        if slot is not None:
            self._touched += [(slot, channel, first + channel) for channel in range(count)]
        return torch.arange(first, first + count, dtype=torch.float64)

    def touch(self, slot: Slot, ids: Tensor) -> None:
        """`slot` has these channels: ids [count]; 0 for one that belongs to none."""
        self._touched += [(slot, channel, int(i)) for channel, i in enumerate(ids.tolist()) if i]

    def roots(self, labels: Tensor) -> Tensor:
        """Labels with one id for each set, in the same shape."""
        table = torch.tensor([self._root(i) for i in range(len(self._parents))])
        return table.double()[labels.long()]

    def join(self, one: Tensor, other: Tensor) -> None:
        """The ids at the same places go together; zeros do not count."""
        pairs = torch.stack([self.roots(one).flatten(), self.roots(other).flatten()], 1)
        pairs = pairs[(pairs != 0).all(1) & (pairs[:, 0] != pairs[:, 1])]
        for a, b in np.unique(pairs.long().numpy(), axis=0).tolist():
            a, b = self._root(a), self._root(b)
            if a != b:
                self._parents[b] = a
                if b in self._stuck:
                    self._stuck.setdefault(a, self._stuck[b])

    def stick(self, labels: Iterable[Tensor], why: str) -> None:
        """All of these must stay."""
        for tensor in labels:
            for i in np.unique(self.roots(tensor).long().numpy()).tolist():
                if i:
                    self._stuck.setdefault(i, why)

    def each(self, labels: Tensor, axis: int) -> Tensor:
        """Join what is at the same place of `axis`; returns an id for each of them: [size]."""
        rows = self.roots(labels).movedim(axis, 0).flatten(1)
        first = rows.gather(1, (rows != 0).int().argmax(1, keepdim=True))
        self.join(first.expand_as(rows), rows)
        return self.roots(first.squeeze(1))

    def varies(self, labels: Tensor, axis: int) -> bool:
        """Whether different sets follow one another along `axis`."""
        roots = self.roots(labels)
        low = torch.where(roots == 0, torch.inf, roots).amin(axis)
        return bool((low < roots.amax(axis)).any())

    def units(self) -> tuple[list[Cuts], dict[str, str]]:
        """What goes together, of all that may go; and of the layers that others hold why."""
        units: dict[int, dict[Slot, list[int]]] = defaultdict(lambda: defaultdict(list))
        for slot, channel, i in self._touched:
            units[self._root(i)][slot].append(channel)
        stuck = {self._root(i): why for i, why in self._stuck.items()}
        held = {
            slot.layer: why for i, why in stuck.items() for slot in units[i] if slot.side == "out"
        }
        free = [
            {slot: tuple(sorted(set(channels))) for slot, channels in unit.items()}
            for i, unit in units.items()
            if i not in stuck
        ]
        return list(free), held

    def _root(self, i: int) -> int:
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i
