"""How much of what a net marks as a class is that class."""

import torch
from torch import Tensor


class MeanIntersectionOverUnion:
    """The mean over classes of intersection / union, each summed over all pixels of all pictures;
    of the classes that neither the labels nor the answers have, there is none.
    """

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self, classes: int, ignore_index: int) -> None:
        self._classes = classes
        self._ignored = ignore_index
        self._both = torch.zeros(classes, dtype=torch.int64)
        self._either = torch.zeros(classes, dtype=torch.int64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add scores [N, classes, ...] and labels [N, ...]; `ignore_index` does not count."""
        answers, labels = scores.argmax(dim=1), labels.long()
        known = labels != self._ignored
        answers, labels = answers[known], labels[known]
        both = self._counts(answers[answers == labels])
        self._both += both
        self._either += self._counts(answers) + self._counts(labels) - both

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no pixel."""
        seen = self._either > 0
        shares = self._both[seen].double() / self._either[seen]
        return float(shares.mean()) if len(shares) else float("nan")

    def _counts(self, classes: Tensor) -> Tensor:
        return torch.bincount(classes.flatten(), minlength=self._classes).cpu()
