"""What one pass over the evaluation set keeps of it, and the batches that are made of that."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecompress.measure.corruptions import corrupted
from edgecompress.measure.occlusion import Covers, covers, fill_of, kind_of
from edgecompress.measure.pictures import shown
from edgecompress.measure.slices import traits
from edgecompress.measure.tensors import Array
from edgecompress.spec.looks import InputKind, Shown
from edgecompress.task import Batch, Task
from edgecompress.task.base import inputs_of

MOST_SPOILT, MOST_SPOILT_BYTES = 256, 64 << 20
"""Samples of which corrupted ones are made, and the memory that they may take."""

Floats = NDArray[np.float64]


@dataclass
class Seen:
    """A set that was gone through."""

    at: int | None = None
    """Which input is looked at; None: of no input it is known what it is."""
    kind: InputKind | None = None
    samples: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    """Whole inputs [1, ...] of chosen samples, by index."""
    covered: list[int] = field(default_factory=list)
    """Which of them are covered part by part."""
    traits: dict[str, list[Floats]] = field(default_factory=dict)
    first: list[Batch] = field(default_factory=list)
    """Batches at the beginning, which are to be corrupted."""

    @cached_property
    def cover(self) -> Covers | None:
        """How samples are covered; None where sizes differ from sample to sample."""
        if self.at is None or self.kind is None:
            return None
        arrays = self._arrays
        same = len({array.shape for array in arrays}) == 1
        return covers(arrays[0], self.kind) if same else None

    def cover_some(self, evenly: list[int], allowed: int) -> None:
        """Choose as many samples as may be covered with so many inferences, two at least."""
        if self.cover is not None:
            count = min(len(evenly), max(2, allowed // (1 + len(self.cover.masks))))
            steps = np.linspace(0, len(evenly) - 1, count).astype(int)
            self.covered = [evenly[step] for step in steps]

    def batches(self) -> Iterator[tuple[str | None, Batch]]:
        """Each covered sample as a batch (None), and each corruption by its name. They are made as
        they are asked for, because all together may not fit into memory.
        """
        if self.cover is not None:
            for index in self.covered:
                yield None, (self._stack(index, self.cover), None)
        if self.at is not None and self.kind is not None:
            for inputs, target in self.first:
                for name, array in corrupted(inputs[self.at].numpy(), self.kind).items():
                    changed = [*inputs]
                    changed[self.at] = torch.from_numpy(array)
                    yield name, (tuple(changed), target)

    def shown(self, index: int) -> Shown | None:
        """A sample, where its kind is known."""
        if self.at is None or self.kind is None:
            return None
        return shown(self.samples[index][self.at][0].numpy(), self.kind)

    @property
    def _arrays(self) -> list[Array]:
        assert self.at is not None
        return [inputs[self.at].numpy() for inputs in self.samples.values()]

    @cached_property
    def _fill(self) -> Array:
        assert self.kind is not None
        return fill_of(np.concatenate(self._arrays), self.kind)

    def _stack(self, index: int, cover: Covers) -> tuple[Tensor, ...]:
        """One sample whole and with each part covered; other inputs stay as they are."""
        inputs = self.samples[index]
        assert self.at is not None
        stacked = torch.from_numpy(cover.stack(inputs[self.at][0].numpy(), self._fill))
        return tuple(
            stacked if at == self.at else each.expand(len(stacked), *each.shape[1:])
            for at, each in enumerate(inputs)
        )


def gone_through(task: Task, wanted: set[int], *, spoils: bool) -> Seen:
    """Go once through the evaluation set.

    Args:
        task: guarded.
        wanted: indices of samples that are kept whole.
        spoils: whether there are to be corrupted batches.

    """
    seen, start, kept_bytes = Seen(), 0, 0
    for batch in task.eval_data():
        inputs = tuple(tensor.detach().cpu() for tensor in inputs_of(batch))
        arrays: list[Array] = [tensor.numpy() for tensor in inputs]
        if start == 0:
            kinds = [kind_of(array) for array in arrays]
            seen.at = next((at for at, kind in enumerate(kinds) if kind is not None), None)
            seen.kind = None if seen.at is None else kinds[seen.at]
        count = len(arrays[0])
        for index in wanted & set(range(start, start + count)):
            seen.samples[index] = tuple(
                each[index - start : index - start + 1].clone() for each in inputs
            )
        if seen.at is not None and seen.kind is not None:
            for name, values in traits(arrays[seen.at], seen.kind).items():
                seen.traits.setdefault(name, []).append(values)
        if spoils and start < MOST_SPOILT and (start == 0 or kept_bytes < MOST_SPOILT_BYTES):
            seen.first.append((inputs, batch[1]))
            kept_bytes += sum(array.nbytes for array in arrays)
        start += count
    return seen
