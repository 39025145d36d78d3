"""The teacher's outputs, kept by sample, for a task whose samples are the same in every epoch.

A sample is known by its bytes, in whatever batch and order it comes; so one that is not the same
after all costs a look, and is never answered wrongly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from edgecompress.compress.checkpoint import Resuming, save_checkpoint
from edgecompress.progress import Progress
from edgecompress.task.used import Used

_KEY_BYTES = 16
_LARGEST_BYTES = 1 << 30
"""More outputs than this are not kept, for they lie in memory too."""

Ask = Callable[[tuple[Tensor, ...]], Any]
"""The teacher: inputs to outputs."""


@dataclass
class Answers:
    """What the teacher gave, in memory and, after each epoch, on disk."""

    ask: Ask
    path: Path
    progress: Progress
    used: Used | None = None
    rows: dict[bytes, list[Tensor]] = field(default_factory=dict)
    """Sample -> its row of each output tensor, on the CPU."""
    _structure: TreeSpec | None = None
    _bytes: int = 0
    _is_saved: bool = True
    _keeps: bool = True
    _is_by_sample: bool = True

    def load(self, example_inputs: tuple[Tensor, ...]) -> None:
        """Go on from what an earlier run has written, if it is whole and no file of the task has
        changed since.
        """
        saved = Resuming(self.path, lambda _: (), self.used, self.progress).state()
        if saved is None:
            return
        _, self._structure = tree_flatten(self.ask(example_inputs))
        keys = [bytes(key.tolist()) for key in saved["keys"]]
        self.rows = {key: list(row) for key, *row in zip(keys, *saved["leaves"], strict=True)}
        self._bytes = sum(leaf.nbytes for leaf in saved["leaves"])

    def of(self, inputs: tuple[Tensor, ...]) -> Any:
        """The teacher's outputs for a batch, asked only where a sample is new; None where it is not
        known which part of them belongs to which sample, so that nobody may keep them.
        """
        self._is_by_sample = self._is_by_sample and _have_a_row_each(inputs)
        if not self._is_by_sample:
            return None
        keys = keys_of(inputs)
        known = [self.rows[key] for key in keys if key in self.rows]
        if len(known) == len(keys) and self._structure is not None:
            leaves = [torch.stack(parts) for parts in zip(*known, strict=True)]
            return tree_unflatten(leaves, self._structure)
        outputs = self.ask(inputs)
        leaves, self._structure = tree_flatten(outputs)
        self._is_by_sample = all(
            isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == len(keys) for leaf in leaves
        )
        if self._keeps and self._is_by_sample:
            self._keep(keys, leaves)
        return outputs if self._is_by_sample else None

    def _keep(self, keys: list[bytes], leaves: list[Tensor]) -> None:
        columns = [leaf.detach().cpu().clone() for leaf in leaves]
        for index, key in enumerate(keys):
            if key not in self.rows:
                self.rows[key] = [column[index] for column in columns]
                self._bytes += sum(column[index].nbytes for column in columns)
                self._is_saved = False
        if self._bytes > _LARGEST_BYTES:
            self._keeps = False
            self.progress.note("the teacher's outputs take over 1 GiB; no more of them are kept")

    def save(self) -> None:
        """Write what is new; called after each epoch.

        Raises:
            StorageError: it cannot be written.
            FilesChanged: a file of the task is no longer what it was.

        """
        if self._is_saved or not self.rows:
            return
        keys = torch.tensor([list(key) for key in self.rows], dtype=torch.uint8)
        leaves = [torch.stack(parts) for parts in zip(*self.rows.values(), strict=True)]
        save_checkpoint(self.path, {"keys": keys, "leaves": leaves}, self.used)
        self._is_saved = True


def _have_a_row_each(inputs: tuple[Tensor, ...]) -> bool:
    """Whether each input has a row for every sample; else one is of all of them together."""
    return all(x.dim() and len(x) == len(inputs[0]) for x in inputs)


def keys_of(inputs: tuple[Tensor, ...]) -> list[bytes]:
    """A digest of each sample: of its row of every input."""
    columns = [x.detach().cpu().contiguous() for x in inputs]
    rows = [column.view(len(column), -1).view(torch.uint8).numpy() for column in columns]
    keys = []
    for index in range(len(columns[0])):
        digest = blake2b(digest_size=_KEY_BYTES)
        for column in rows:
            digest.update(column[index].data)
        keys.append(digest.digest())
    return keys
