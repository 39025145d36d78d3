"""Which of several boxes round the same object stays."""

import numpy as np
import torch
from torch import Tensor


def survivors(boxes: Tensor, scores: Tensor, labels: Tensor, largest_overlap: float) -> Tensor:
    """Indices of boxes [m, 4] xyxy, highest scores first, without those that overlap one of the
    same label and a higher score by more than `largest_overlap`, as intersection over union.
    """
    order = scores.argsort(descending=True, stable=True)
    near = overlaps(boxes[order]) > largest_overlap
    near &= labels[order, None] == labels[order]
    # In numpy, whose small steps cost a tenth of torch's.
    apart, kept = ~near.cpu().numpy(), np.ones(len(order), np.bool_)
    for row in range(len(order)):
        if kept[row]:
            kept[row + 1 :] &= apart[row, row + 1 :]
    return order[torch.from_numpy(kept).to(order.device)]


def overlaps(boxes: Tensor) -> Tensor:
    """[m, m]: intersection over union of boxes [m, 4] xyxy; 0 for those without an area."""
    least = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    most = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    both = (most - least).clamp(min=0).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return both / (areas[:, None] + areas - both).clamp(min=1e-9)
