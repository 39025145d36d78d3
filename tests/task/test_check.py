"""Looking at one batch of each data method: what passes, what it costs, and what it leaves alone.

What is refused, with its line: tests/pipeline/test_wrong_data.py.
"""

import multiprocessing
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, get_worker_info

from edgecompress.errors import TaskError
from edgecompress.task import Batch, ClassificationTask, Metric, MulticlassAccuracy, Task
from edgecompress.task.check import Reads, check_data
from edgecompress.task.guard import guard
from edgecompress.task.load import original_model

IMAGES = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3


def batches(*parts: Tensor) -> list[Any]:
    return list(zip(*(part.split(10) for part in parts), strict=True))


class Right(ClassificationTask):
    classes = 3

    def model(self) -> nn.Module:
        convolution = nn.Conv2d(1, 3, 3)
        return nn.Sequential(convolution, nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, 8, 8),)

    def train_data(self) -> Iterable[Batch]:
        return batches(IMAGES, LABELS)

    def eval_data(self) -> Iterable[Batch]:
        return batches(IMAGES, LABELS)


def look(task: Task, reads: Reads = Reads()) -> None:  # noqa: B008 - it is frozen
    guard(task)
    check_data(task, original_model(task), reads, seed=0)


def test_right_data_passes() -> None:
    look(Right())


# What is uncommon, and right


class FixedBatch(Right):
    """docs/task.md allows it."""

    def model(self) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.head = nn.Linear(64, 3)

            def forward(self, x: Tensor) -> Tensor:
                return self.head(x.view(1, -1))

        return Net()


class Boxes(Task):
    """As detectors have it: targets that cannot be cut, and another output while training."""

    def model(self) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Linear(4, 4)

            def forward(self, x: Tensor) -> Any:
                found = self.body(x)
                return {"boxes": found} if self.training else found.relu()

        return Net()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 4),)

    def train_data(self) -> Iterable[Any]:
        yield torch.ones(6, 4), [{"box": torch.ones(i, 4)} for i in range(6)]

    eval_data = train_data

    def loss(self, outputs: Any, target: Any) -> Tensor:
        assert len(outputs["boxes"]) == len(target) == 6
        return outputs["boxes"].mean()

    def metric(self) -> Metric:
        return MulticlassAccuracy()

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        assert len(outputs) == len(target)
        metric.update(outputs, torch.tensor([len(each["box"]) for each in target]))


class Masked(Task):
    """Two inputs, one of which holds what a mask adds: infinity."""

    def model(self) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.words = nn.Embedding(10, 4)

            def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
                weights = mask.softmax(1)
                return self.words(ids).mean(2) * weights, weights

        return Net()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return torch.zeros(1, 5, dtype=torch.long), torch.tensor([[0.0, 0, 0, 0, -torch.inf]])

    def train_data(self) -> Iterable[Any]:
        ids = torch.randint(10, (8, 5))
        mask = torch.zeros(8, 5).masked_fill(ids == 0, -torch.inf)
        mask[:, 0] = 0
        yield (ids, mask), None

    def eval_data(self) -> Iterable[Any]:
        yield (torch.full((8, 5), 9), torch.zeros(8, 5)), None

    def loss(self, outputs: Any, target: Any) -> Tensor:
        return outputs[0].square().mean()

    def metric(self) -> Metric:
        return MulticlassAccuracy()

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        metric.update(outputs[0], torch.zeros(len(outputs[0])))


class SoftLabels(Right):
    """Mixtures, with a loss that takes them."""

    def train_data(self) -> Iterable[Batch]:
        return batches(IMAGES, torch.full((40, 3), 1 / 3))

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, target)


class SeveralSizes(Right):
    """For a model of convolutions alone."""

    def train_data(self) -> Iterable[Batch]:
        return batches(functional.pad(IMAGES, (1, 1, 1, 1)), LABELS)


@pytest.mark.parametrize("task", [FixedBatch, Boxes, Masked, SoftLabels])
def test_uncommon_and_right(task: type[Task]) -> None:
    look(task())


def test_other_sizes_are_for_training_in_float_alone() -> None:
    others = ("calibration_data", "validation_data", "eval_data")
    own = {"calibration_data": Right.eval_data}
    look(type("Own", (SeveralSizes,), own)(), Reads(captured=others))
    # A graph is trained, for QAT; or calibrated with the same data.
    for task, reads in (
        (type("Own", (SeveralSizes,), own)(), Reads()),
        (SeveralSizes(), Reads(captured=others)),
    ):
        with pytest.raises(
            TaskError, match=r"train_data\(\) batch 0: the input is float32 \[10, 1, 10"
        ):
            look(task, reads)


@pytest.mark.parametrize(
    "unwritten", [lambda self: [], lambda self: (_ for _ in ()).throw(NotImplementedError())]
)
def test_what_is_not_needed_may_be_left_out(unwritten: Any) -> None:
    task = type(
        "Calibrated", (Right,), {"train_data": unwritten, "calibration_data": Right.eval_data}
    )
    reads = Reads(needed=("calibration_data", "eval_data"), trains=False)
    look(task(), reads)
    with pytest.raises(TaskError, match=r"Calibrated\.train_data\(\)"):
        look(task(), Reads(needed=("train_data", "eval_data")))


def test_what_is_there_is_looked_at_even_where_it_is_not_needed() -> None:
    def doubles(_: object) -> Any:
        return batches(IMAGES.double(), LABELS)

    task = type(
        "Calibrated", (Right,), {"train_data": doubles, "calibration_data": Right.eval_data}
    )
    with pytest.raises(TaskError, match="float64"):
        look(task(), Reads(needed=("calibration_data", "eval_data"), trains=False))


def test_a_loss_that_is_not_used_may_be_unwritten() -> None:
    def loss(self: object, outputs: Any, target: Any) -> Tensor:
        raise NotImplementedError

    task = type("Calibrated", (Right,), {"loss": loss})
    look(task(), Reads(trains=False))
    with pytest.raises(TaskError, match=r"Calibrated\.loss\(\): NotImplementedError"):
        look(task())


# What it costs, and leaves


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
    assert multiprocessing.active_children() == before
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
