"""Any architecture of the zoo as a task: random weights, made-up inputs, and as the metric how much
of the float model's outputs the shipped file loses.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo_catalogue import CATALOGUE
from zoo_inputs import enliven, made_up, settle

from edgecompress.task.base import Batch, Task, tensors_of
from edgecompress.task.metric import Metric

BATCH = 8


class RelativeError:
    """sqrt(sum e^2 / sum y^2) against the float outputs y, over all samples, of the worst output.

    SQNR in dB is -20 log10 of it.
    """

    higher_is_better: bool | None = False

    def __init__(self) -> None:
        self.signal: dict[int, float] = {}
        self.noise: dict[int, float] = {}

    def update(self, outputs: Any, target: Any) -> None:
        pairs = zip(floats_of(outputs), floats_of(target), strict=True)
        for index, (have, want) in enumerate(pairs):
            want64, have64 = want.detach().double(), have.detach().double()
            noise = float((have64 - want64).square().sum())
            self.signal[index] = self.signal.get(index, 0.0) + float(want64.square().sum())
            self.noise[index] = self.noise.get(index, 0.0) + noise

    def compute(self) -> float:
        ratios = [self.noise[i] / max(self.signal[i], 1e-30) for i in self.signal]
        return math.sqrt(max(ratios))


class Zoo(Task):
    """One row of the catalogue. Targets are what the float model puts out, so training pulls the
    small model towards it.
    """

    def __init__(self, name: str) -> None:
        self.net = CATALOGUE[name]
        self._float: nn.Module | None = None

    def model(self) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.net.build().float()
            enliven(model)
            settle(model, [self._inputs(seed, 2 * BATCH) for seed in range(3)])
        return model.eval()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return self._inputs(seed=100, count=1)

    def train_data(self) -> Iterator[Batch]:
        return self._labelled(seed=200, batches=4)

    def eval_data(self) -> Iterator[Batch]:
        return self._labelled(seed=300, batches=2)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        pairs = zip(floats_of(outputs), floats_of(target), strict=True)
        losses = [functional.mse_loss(o, t) / t.square().mean().clamp(min=1e-6) for o, t in pairs]
        return torch.stack(losses).sum()

    def metric(self) -> Metric:
        return RelativeError()

    def _labelled(self, seed: int, batches: int) -> Iterator[Batch]:
        if self._float is None:
            self._float = self.model()
        for number in range(batches):
            inputs = self._inputs(seed + number, BATCH)
            with torch.no_grad():
                outputs = tuple(floats_of(self._float(*inputs)))
            yield inputs, outputs

    def _inputs(self, seed: int, count: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(made_up(wanted, count, generator) for wanted in self.net.inputs)


def floats_of(outputs: Any) -> list[Tensor]:
    """The floating-point tensors of a model's return value."""
    return [tensor for tensor in tensors_of(outputs) if tensor.is_floating_point()]
