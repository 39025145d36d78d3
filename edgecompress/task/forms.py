"""What a target tensor of a kind of task looks like, and words for what came instead."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edgecompress.task.words import came


@dataclass(frozen=True)
class Form:
    """A tensor with one entry for each sample."""

    name: str
    """What the messages call it, in the plural: 'masks'."""
    shape: tuple[str, ...]
    """Names of its dimensions, or their sizes: ('N', 'H', 'W')."""
    is_integer: bool
    """Integers of any width; else floating-point numbers, which are finite."""

    def wrong(self, target: Any, samples: int) -> str | None:
        """What is wrong with the target of so many samples, and what to do; None: nothing is."""
        numbers = "integers" if self.is_integer else "floats"
        wanted = f"{numbers} of shape [{', '.join(self.shape)}]"
        if not isinstance(target, Tensor):
            return f"{self.name} are not a tensor but {came(target)}; give {wanted}"
        has_kind = target.dtype != torch.bool and target.is_floating_point() != self.is_integer
        if target.ndim != len(self.shape) or not has_kind or not self._has_sizes(target):
            return f"{self.name} must be {wanted}, got {came(target)}{self._way(target, samples)}"
        if len(target) != samples:
            return f"a batch of {samples} samples has {len(target)} {self.name}"
        if not self.is_integer and not target.isfinite().all():
            return f"{self.name} hold NaN or infinity; give finite ones"
        return None

    def _has_sizes(self, target: Tensor) -> bool:
        pairs = zip(self.shape, target.shape, strict=True)
        return all(int(name) == size for name, size in pairs if name.isdigit())

    def _way(self, target: Tensor, samples: int) -> str:
        to_type = ".long()" if self.is_integer else ".float()"
        if self.is_integer == (not target.is_floating_point() and target.dtype != torch.bool):
            to_type = ""
        if target.ndim == len(self.shape) - 1:
            if target.ndim and len(target) == samples:
                return f"; give target.unsqueeze(-1){to_type}"
            return "; a batch has a batch dimension, which a DataLoader adds"
        if target.ndim == len(self.shape) + 1 and target.shape[1] == 1:
            return f"; give target.squeeze(1){to_type}"
        if target.ndim == len(self.shape) and to_type and self._has_sizes(target):
            return f"; give target{to_type}"
        return ""
