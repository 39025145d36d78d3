"""The user's own code: what it raises names its line, what it gives is checked once."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from edgecompress.errors import ModelError, TaskError
from edgecompress.task import Batch, ClassificationTask
from edgecompress.task.guard import explain, guard, user_code


class Numbers(IterableDataset):
    """Without a length."""

    def __iter__(self):
        return iter([(torch.zeros(3), 0), (torch.zeros(3), 1)])


class Guarded(ClassificationTask):
    classes = 2

    def __init__(self, data: Iterable[Batch]) -> None:
        self.data = data
        guard(self)

    def model(self) -> nn.Module:
        return nn.Linear(3, 2)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3),)

    def train_data(self) -> Iterable[Batch]:
        return self.data

    def eval_data(self) -> Iterable[Batch]:
        return self.data


def images(labels: list[int]) -> tuple[Tensor, Tensor]:
    return torch.zeros(len(labels), 3), torch.tensor(labels)


def test_good_batches_pass_unchanged() -> None:
    batch = images([0, 1])
    task = Guarded([batch])
    for data in (task.train_data, task.eval_data, task.calibration_data, task.validation_data):
        ((inputs, target),) = data()
        assert inputs is batch[0]
        assert target is batch[1]
        assert len(list(data())) == 1  # and again, for the next epoch


def test_the_length_is_kept_where_there_is_one() -> None:
    assert len(Guarded([images([0])] * 3).train_data()) == 3  # type: ignore[arg-type]
    loader = DataLoader(TensorDataset(*images([0, 1, 0])), batch_size=2)
    assert len(Guarded(loader).train_data()) == 2  # type: ignore[arg-type]
    for unsized in (iter([images([0])]), DataLoader(Numbers(), batch_size=2)):
        data = Guarded(unsized).train_data()
        assert not hasattr(data, "__len__")
        assert len(list(data)) == 1


def test_worker_processes() -> None:
    loader = DataLoader(TensorDataset(*images([0, 1, 0, 1])), batch_size=2, num_workers=1)
    assert [target.tolist() for _, target in Guarded(loader).train_data()] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(2, 3), r"train_data\(\) batch 1 is not \(inputs, target\); give pairs"),
        (([1, 2], torch.zeros(2)), "batch 1: every input must be a tensor"),
        ((torch.zeros(()), torch.zeros(1)), r"batch 1: inputs must hold the same .*: \[0\]"),
        (((torch.zeros(2, 3), torch.zeros(3, 3)), 0), r"the same number of samples.*: \[2, 3\]"),
        (images([0, 2]), r"batch 1: label 2 is out of range; with classes = 2 labels are 0 to 1"),
        (images([-1]), "batch 1: label -1 is out of range"),
        ((torch.zeros(2, 3), torch.zeros(2)), r"integers of shape \[N\], got torch\.float32"),
        ((torch.zeros(2, 3), ["cat", "dog"]), "labels are not a tensor"),
    ],
)
def test_a_bad_batch_is_named(batch: object, message: str) -> None:
    task = Guarded([images([0]), batch])  # type: ignore[list-item]
    with pytest.raises(TaskError, match=message):
        list(task.train_data())


def test_a_loss_of_ones_own_may_take_other_labels() -> None:
    class Mixed(Guarded):
        def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
            return (outputs - target).square().mean()

    soft = (torch.zeros(2, 3), torch.full((2, 2), 0.5))
    task = Mixed([soft])
    assert len(list(task.train_data())) == 1
    with pytest.raises(TaskError, match=r"Mixed\.eval_data\(\) batch 0: labels must be integers"):
        list(task.eval_data())


def test_our_own_errors_and_interrupts_pass() -> None:
    for error in (ModelError("cannot be traced"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, user_code("here"):
            raise error
        assert caught.value is error


def test_the_innermost_line_of_the_users_is_named() -> None:
    def of_the_user() -> Tensor:
        return torch.zeros(2) @ torch.zeros(3)  # raises inside torch

    with pytest.raises(TaskError) as caught, user_code("Mine.loss()"):
        of_the_user()
    line = of_the_user.__code__.co_firstlineno + 1
    assert str(caught.value).startswith("Mine.loss(): RuntimeError: ")
    assert str(caught.value).endswith(f"; look at {__file__}:{line}")


def test_only_the_first_line_of_a_long_message() -> None:
    assert explain(ValueError("too long\nand much more")) == "ValueError: too long"
    assert explain(ValueError()) == "ValueError: no message"
