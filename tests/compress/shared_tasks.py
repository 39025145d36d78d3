"""Tasks of `test_processes.py`, in a file of their own, because every process loads them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgecompress.task import Batch, ClassificationTask, Metric, Task


class Smooth(ClassificationTask):
    """Three classes, and a network without batch norm and dropout: parts add up to a batch."""

    classes = 3

    def __init__(self, lists: bool = False) -> None:
        random = torch.Generator().manual_seed(1)
        self.labels_ = torch.randint(3, (75,), generator=random)
        self.images = torch.randn(3, 1, 4, 4, generator=random)[self.labels_]
        self.lists = lists

    def model(self) -> nn.Module:
        torch.manual_seed(7)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(96, 3)
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (self.images[:1],)

    def train_data(self) -> Iterable[Batch]:
        # Batches of 20, 20, 20 and 15: the last one divides into unequal parts.
        for chosen in torch.randperm(75).split(20):
            noisy = self.images[chosen] + torch.randn(len(chosen), 1, 4, 4)
            yield noisy, self.labels_[chosen]

    def eval_data(self) -> Iterable[Batch]:
        return [(self.images, self.labels_)]

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        note(len(target))
        return super().loss(outputs, target)


def note(samples: int) -> None:
    """Write down which process computed how many samples."""
    folder = os.environ.get("NOTES")
    if folder is not None and torch.is_grad_enabled():
        with (Path(folder) / os.environ.get("RANK", "0")).open("a") as file:
            file.write(f"{samples}\n")


class Normed(Smooth):
    """The same with batch norm and dropout."""

    def model(self) -> nn.Module:
        torch.manual_seed(7)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(96, 3),
        )


class Lambda(Smooth):
    """Its model does not pickle."""

    def model(self) -> nn.Module:
        model = super().model()
        model.scale = lambda x: x
        return model


class Failing(Smooth):
    """Its loss fails in the second process alone."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        if os.environ.get("RANK") == "1" and torch.is_grad_enabled():
            raise ValueError("no part of mine")
        return super().loss(outputs, target)


class SmallestFirst(Metric):
    """Mean squared error of what is drawn."""

    higher_is_better = False

    def __init__(self) -> None:
        self.errors: list[float] = []

    def update(self, outputs: Any, target: Any) -> None:
        self.errors.append(float((outputs["boxes"] - target["boxes"]).square().mean()))

    def compute(self) -> float:
        return sum(self.errors) / len(self.errors)


class Boxes(Task):
    """Outputs and targets are dicts, and one target a list of one entry for each sample."""

    def model(self) -> nn.Module:
        torch.manual_seed(5)
        return TwoHeads()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 6),)

    def train_data(self) -> Iterable[Batch]:
        for _ in range(3):
            x = torch.randn(8, 6)
            yield x, {"boxes": x[:, :4], "names": [f"sample {i}" for i in range(8)], "size": 6}

    def eval_data(self) -> Iterable[Batch]:
        x = torch.linspace(-1, 1, 24).reshape(4, 6)
        return [(x, {"boxes": x[:, :4], "names": list("abcd"), "size": 6})]

    def loss(self, outputs: dict[str, Tensor], target: dict[str, Any]) -> Tensor:
        assert len(target["names"]) == len(target["boxes"])
        return (outputs["boxes"] - target["boxes"]).square().mean()

    def metric(self) -> Metric:
        return SmallestFirst()


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.boxes = nn.Linear(6, 4)
        self.scores = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"boxes": self.boxes(x), "scores": self.scores(x)}
