"""Any construct of tests/zoo as a task: seeded weights, random inputs, and as the metric how far
the file's outputs are from the float model's.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo_task import RelativeError, floats_of

from edgecompress.task.base import Batch, Task
from edgecompress.task.metric import Metric

TESTS = Path(__file__).resolve().parents[1] / "tests"
# By hand, because the zoo.py of this folder would be found in its place.
_package = ModuleType("zoo")
_package.__path__ = [str(TESTS / "zoo")]
sys.modules["zoo"] = _package
_catalogue: Any = importlib.import_module("zoo.catalogue")

BATCHES = 4
CONSTRUCTS = tuple(_catalogue.EVERYTHING)


class Construct(Task):
    """Batches are of one sample, because some constructs take no more."""

    def __init__(self, name: str) -> None:
        self.net: nn.Module
        self.example: tuple[Tensor, ...]
        self.net, self.example = _catalogue.build(name)

    def model(self) -> nn.Module:
        return self.net

    def example_inputs(self) -> tuple[Tensor, ...]:
        return self.example

    def train_data(self) -> Iterator[Batch]:
        return self._labelled(seed=1)

    def eval_data(self) -> Iterator[Batch]:
        return self._labelled(seed=2)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        pairs = zip(floats_of(outputs), floats_of(target), strict=True)
        return torch.stack([functional.mse_loss(have, want) for have, want in pairs]).sum()

    def metric(self) -> Metric:
        return RelativeError()

    def _labelled(self, seed: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(BATCHES):
            inputs = tuple(_like(tensor, generator) for tensor in self.example)
            with torch.no_grad():
                yield inputs, tuple(floats_of(self.net(*inputs)))


def _like(example: Tensor, generator: torch.Generator) -> Tensor:
    """Another input of the same kind; tokens and masks are shuffled."""
    if example.is_floating_point():
        return torch.randn(example.shape, generator=generator)
    order = torch.randperm(example.numel(), generator=generator)
    return example.flatten()[order].reshape(example.shape)
