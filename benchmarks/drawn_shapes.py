"""Discs, squares and triangles drawn by code, for the tasks of detector.py and segmenter.py."""

from functools import cache

import torch
from torch import Tensor

SIDE, CLASSES = 96, 3

Targets = list[dict[str, Tensor]]


@cache
def drawn(count: int, seed: int) -> tuple[Tensor, Targets, Tensor]:
    """One to four shapes of any colour in each picture, on a ground that shades off, in noise.

    Pictures [count, 3, SIDE, SIDE] in float32; boxes, x1, y1, x2, y2 in pixels, and labels of each;
    and each pixel's class [count, SIDE, SIDE], which is CLASSES where no shape is.
    """
    random = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIDE) + 0.5
    images = 0.12 * torch.randn(count, 3, SIDE, SIDE, generator=random)
    targets = []
    classes = torch.full((count, SIDE, SIDE), CLASSES)
    for image, of_pixels in zip(images, classes, strict=True):
        image += _ground(axis, random)
        many = int(torch.randint(1, 5, (), generator=random))
        corners = torch.randperm(4, generator=random)[:many]
        # Each in a quarter of its own, and anywhere there.
        reach = 5 + 15 * torch.rand(many, generator=random)
        free = (SIDE / 4 - reach).clamp(min=0)
        shift = (2 * torch.rand(2, many, generator=random) - 1) * free
        x = SIDE / 4 + SIDE / 2 * (corners % 2) + shift[0]
        y = SIDE / 4 + SIDE / 2 * (corners // 2) + shift[1]
        labels = torch.randint(CLASSES, (many,), generator=random)
        for each in range(many):
            across, down = axis - x[each], (axis - y[each])[:, None]
            inside = _inside(int(labels[each]), across, down, float(reach[each]))
            image[:, inside] += torch.randn(3, 1, generator=random).sign() * 0.6
            of_pixels[inside] = labels[each]
        boxes = torch.stack([x - reach, y - reach, x + reach, y + reach], 1)
        targets.append({"boxes": boxes, "labels": labels})
    return images, targets, classes


def _ground(axis: Tensor, random: torch.Generator) -> Tensor:
    slopes = torch.randn(3, 2, generator=random) * 0.3 / SIDE
    return slopes[:, :1, None] * axis + slopes[:, 1:, None] * axis[:, None]


def _inside(label: int, across: Tensor, down: Tensor, reach: float) -> Tensor:
    if label == 0:
        return torch.hypot(across, down) < reach
    if label == 1:
        return torch.maximum(across.abs(), down.abs()) < reach
    return (down.abs() < reach) & (across.abs() < (down + reach) / 2)
