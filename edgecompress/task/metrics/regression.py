"""How far numbers are from those that were wanted."""

from torch import Tensor


class MeanAbsoluteError:
    """The mean of |answer - target| over all numbers, in their unit."""

    higher_is_better: bool | None = False

    def __init__(self) -> None:
        self._sum = 0.0
        self._numbers = 0

    def update(self, answers: Tensor, target: Tensor) -> None:
        """Add numbers and targets of the same shape, the batch first."""
        self._sum += float((answers.double() - target.double()).abs().sum())
        self._numbers += target.numel()

    def compute(self) -> float:
        """0 or more; NaN when there was no number."""
        return self._sum / self._numbers if self._numbers else float("nan")
