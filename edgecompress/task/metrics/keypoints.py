"""How many points are found."""

import torch
from torch import Tensor


class CorrectKeypoints:
    """Share of the visible points that are found within so many pixels (PCK)."""

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self, within: float) -> None:
        self._within = within
        self._right = 0
        self._points = 0

    def update(self, found: Tensor, target: Tensor) -> None:
        """Add points [N, K, 2] as x, y in pixels, and wanted ones, [N, K, 2] or [N, K, 3], whose
        third number is 0 for those that cannot be seen and do not count.
        """
        distance = (found.double() - target[..., :2].double()).norm(dim=-1)
        seen = visible(target)
        self._right += int((distance <= self._within)[seen].sum())
        self._points += int(seen.sum())

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no point."""
        return self._right / self._points if self._points else float("nan")


def visible(target: Tensor) -> Tensor:
    """[N, K] bool of wanted points [N, K, 2], which all are, or [N, K, 3]."""
    if target.shape[-1] == 3:
        return target[..., 2] > 0
    return torch.ones(target.shape[:-1], dtype=torch.bool, device=target.device)
