"""Boxes that overlap, with scores many of which are equal, and who stays of them."""

import torch
from torch import Tensor


def scenes(pictures: int, rows: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Boxes [pictures, rows, 4] with whole numbers, and scores of 16 levels; a fifth are 0."""
    random = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 16, (pictures, rows, 2), generator=random)
    sizes = torch.randint(1, 12, (pictures, rows, 2), generator=random)
    levels = torch.randint(-4, 16, (pictures, rows, classes), generator=random)
    return torch.cat([corners, corners + sizes], 2).float(), levels.clamp(min=0) / 16


def greedy(boxes: Tensor, scores: Tensor, iou: float, score: float) -> list[tuple[int, int]]:
    """The rows and classes that stay of boxes [A, 4] and scores [A, classes]: the usual way, one
    after the other, those of equal scores in the order in which they come.
    """
    count, classes = scores.shape
    pairs = [(row, label) for row in range(count) for label in range(classes)]
    pairs = [pair for pair in pairs if scores[pair] > score]
    stay: list[tuple[int, int]] = []
    for row, label in sorted(pairs, key=lambda pair: -float(scores[pair])):
        if not any(
            other == label and _overlap(boxes[at].tolist(), boxes[row].tolist()) > iou
            for at, other in stay
        ):
            stay.append((row, label))
    return stay


def _overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)]
    return both / (sum(areas) - both)
