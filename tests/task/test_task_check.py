"""Looking at one batch of each data method: what passes.

What is refused, with its line: tests/pipeline/test_wrong_data.py.
"""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from looking import IMAGES, LABELS, Right, batches, look
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.errors import TaskError
from edgecompress.task import Batch, Metric, MulticlassAccuracy, Task
from edgecompress.task.check import Reads


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
