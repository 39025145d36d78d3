"""How many sequences, or tokens, get the right label."""

import torch
from torch import Tensor


class LabelAccuracy:
    """Share of the labels that have the highest score, of all that count."""

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self, ignore_index: int) -> None:
        self._ignored = ignore_index
        self._right = 0
        self._labels = 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add scores [..., classes] and integer labels [...]; `ignore_index` does not count."""
        known = labels != self._ignored
        self._right += int((scores.argmax(-1) == labels)[known].sum())
        self._labels += int(known.sum())

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no label."""
        return self._right / self._labels if self._labels else float("nan")


class MacroF1Score:
    """The mean over classes of 2 TP / (2 TP + FP + FN); a class that is neither wanted nor given
    does not count.
    """

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self, classes: int, ignore_index: int) -> None:
        self._classes = classes
        self._ignored = ignore_index
        self._right = torch.zeros(classes, dtype=torch.int64)
        self._sums = torch.zeros(classes, dtype=torch.int64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add scores [..., classes] and integer labels [...]; `ignore_index` does not count."""
        known = labels != self._ignored
        given, wanted = scores.argmax(-1)[known], labels[known].long()
        self._right += self._counts(given[given == wanted])
        self._sums += self._counts(given) + self._counts(wanted)

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no label."""
        seen = self._sums > 0
        values = 2 * self._right[seen].double() / self._sums[seen]
        return float(values.mean()) if len(values) else float("nan")

    def _counts(self, classes: Tensor) -> Tensor:
        return torch.bincount(classes.flatten(), minlength=self._classes).cpu()
