"""Looking at one batch of each data method: what it costs, and what it leaves alone."""

import multiprocessing
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from looking import IMAGES, LABELS, Right, look
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, get_worker_info

from edgecompress.task import Batch, Task
from edgecompress.task.check import Reads, check_data
from edgecompress.task.guard import guard
from edgecompress.task.load import original_model


class Counted(Right):
    """Counts the batches that it is asked for; more than a few would never end."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def _endless(self, name: str) -> Iterable[Batch]:
        while True:
            self.given.append(name)
            yield IMAGES[:10], LABELS[:10]

    def train_data(self) -> Iterable[Batch]:
        return self._endless("train")

    def calibration_data(self) -> Iterable[Batch]:
        return self._endless("calibration")

    def eval_data(self) -> Iterable[Batch]:
        return self._endless("eval")


def test_one_batch_of_each_is_asked_for_and_two_of_what_must_stay_in_order() -> None:
    task = Counted()
    look(task)
    assert task.given == ["train", "calibration", "eval", "eval"]


def test_few_samples_are_run_and_those_with_the_extremes_of_an_embedding() -> None:
    seen: list[Tensor] = []

    class Tokens(Right):
        def model(self) -> nn.Module:
            class Net(nn.Module):
                def __init__(self) -> None:
                    super().__init__()
                    self.words = nn.Embedding(1000, 3)

                def forward(self, ids: Tensor) -> Tensor:
                    seen.append(ids)
                    return self.words(ids).mean(1)

            return Net()

        def example_inputs(self) -> tuple[Tensor, ...]:
            return (torch.zeros(1, 2, dtype=torch.long),)

        def train_data(self) -> Iterable[Batch]:
            ids = torch.full((500, 2), 7)
            ids[300, 1], ids[400, 0] = 999, 0
            yield ids, torch.zeros(500, dtype=torch.long)

        eval_data = train_data

    look(Tokens())
    assert max(len(ids) for ids in seen) == 6
    assert {0, 7, 999} <= set(torch.cat(seen).flatten().tolist())


class Generators(Right):
    """Draws from every generator there is, its own and a loader's among them."""

    def __init__(self) -> None:
        self.torch = torch.Generator().manual_seed(1)
        self.numpy = np.random.default_rng(1)
        self.python = random.Random(1)
        shuffled = torch.Generator().manual_seed(1)
        data = TensorDataset(IMAGES, LABELS)
        self.loader = DataLoader(data, batch_size=10, shuffle=True, generator=shuffled)

    def train_data(self) -> Iterable[Batch]:
        self.drawn()
        return self.loader

    def drawn(self) -> list[float]:
        return [
            float(torch.rand(1, generator=self.torch)),
            float(self.numpy.random()),
            self.python.random(),
            float(torch.rand(1)),
            float(np.random.rand()),
            random.random(),
            *next(iter(self.loader))[1].tolist(),
        ]


def test_what_is_drawn_later_is_what_would_have_been_drawn() -> None:
    def later(is_checked: bool) -> list[float]:
        task = Generators()
        guard(task)
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        model = original_model(task)
        if is_checked:
            check_data(task, model, Reads(), seed=0)
        return task.drawn()

    assert later(True) == later(False)


class Workers(Right):
    def __init__(self) -> None:
        data = TensorDataset(IMAGES, LABELS)
        self.loader = DataLoader(data, batch_size=10, num_workers=2, persistent_workers=True)

    def train_data(self) -> Iterable[Batch]:
        return self.loader


class Sharded(IterableDataset[Any]):
    """Works in a worker process only."""

    def __iter__(self) -> Any:
        info = get_worker_info()
        assert info is not None
        return iter(list(zip(IMAGES, LABELS, strict=True))[info.id :: info.num_workers])


class ShardedWorkers(Right):
    def train_data(self) -> Iterable[Batch]:
        return DataLoader(Sharded(), batch_size=10, num_workers=2)


@pytest.mark.parametrize("task", [Workers, ShardedWorkers])
def test_no_worker_process_is_left(task: type[Task]) -> None:
    looked_at, before = task(), multiprocessing.active_children()
    look(looked_at)
    assert set(multiprocessing.active_children()) <= set(before)
    # And all are there when they are wanted.
    assert len(list(looked_at.train_data())) == 4


def test_the_model_is_left_as_it_was() -> None:
    task = Right()
    guard(task)
    model = original_model(task)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_data(task, model, Reads(), seed=0)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
