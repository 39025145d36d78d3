"""A trained network in memory, as a notebook has one, and calls of `compress` in this process."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deploying
import torch
from torch import Tensor, nn
from torch.nn import functional

import edgecompress
from edgecompress.api import Report

Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Notebook:
    """What somebody has at hand."""

    model: nn.Module
    train: Batches
    evaluate: Batches
    folder: Path

    def compress(self, **changes: Any) -> Report:
        """Without a board: for tests of what is made, and not of its speed."""
        given = {
            "train": self.train,
            "evaluate": self.evaluate,
            "target": "tiny",
            "folder": self.folder,
            "inventory": self.folder / "inventory.yaml",
            "progress": False,
            **changes,
        }
        return edgecompress.compress(given.pop("model", self.model), **given)


def trained(folder: Path) -> Notebook:
    """Two epochs of the tiny task, in training mode as training leaves a model.

    Args:
        folder: to be made, with a target 'tiny' and no device.

    """
    deploying.unmeasured(folder)
    sys.path.insert(0, str(deploying.TINY))
    # Others have modules of that name, and leave them.
    sys.modules.pop("task", None)
    try:
        from task import Tiny
    finally:
        sys.path.remove(str(deploying.TINY))
        sys.modules.pop("task", None)
    torch.manual_seed(0)
    task = Tiny()
    model, train = task.model(), task.calibration_data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for images, labels in train * 2:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return Notebook(model.train(), train, task.eval_data(), folder)
