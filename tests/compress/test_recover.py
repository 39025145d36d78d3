"""A few steps of training of a model that has just lost something."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from edgecompress import ClassificationTask
from edgecompress.compress.hardware import Hardware
from edgecompress.compress.recover import recovered
from edgecompress.errors import TaskError
from edgecompress.spec.deploy import TrainSpec

SPEC = TrainSpec(epochs=9, warmup_epochs=2.0, optimizer="adamw", learning_rate=0.01, ema_decay=0.9)


class Halves(ClassificationTask):
    """Which half of the inputs is larger."""

    classes = 2

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 8),)

    def train_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        random = torch.Generator().manual_seed(0)
        for _ in range(20):
            inputs = torch.randn(32, 8, generator=random)
            yield inputs, (inputs[:, :4].sum(1) > inputs[:, 4:].sum(1)).long()

    def eval_data(self) -> Iterable[tuple[Tensor, Tensor]]:
        return self.train_data()


def test_a_copy_learns() -> None:
    task = Halves()
    model, batches = task.model().eval(), list(task.train_data())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = recovered(model, task, SPEC.for_one_epoch(), batches, Hardware())
    losses = [sum(float(task.loss(m(x), y).detach()) for x, y in batches) for m in (model, found)]
    assert losses[1] < 0.7 * losses[0]
    assert not found.training
    assert all(parameter.grad is None for parameter in found.parameters())
    assert all(model.state_dict()[name].equal(value) for name, value in before.items())
    again = recovered(model, task, SPEC.for_one_epoch(), batches, Hardware())
    assert all(again.state_dict()[name].equal(value) for name, value in found.state_dict().items())


def test_where_training_ends_in_nothing_there_is_none() -> None:
    task, batches = Halves(), list(Halves().train_data())
    model = task.model().eval()
    broken = [*batches[:3], (torch.full((32, 8), torch.nan), batches[0][1]), *batches[3:]]
    found = recovered(model, task, SPEC.for_one_epoch(), broken, Hardware())
    assert all(model.state_dict()[name].equal(value) for name, value in found.state_dict().items())


def test_a_batch_that_does_not_fit_is_told() -> None:
    task, batch = Halves(), (torch.zeros(4, 9), torch.zeros(4).long())
    with pytest.raises(TaskError, match=r"prune: the model on a batch of Halves\.train_data"):
        recovered(task.model(), task, SPEC.for_one_epoch(), [batch], Hardware())


def test_what_takes_epochs_is_left_out() -> None:
    spec = SPEC.for_one_epoch()
    assert (spec.epochs, spec.warmup_epochs, spec.ema_decay) == (1, 0.0, None)
    assert (spec.optimizer, spec.learning_rate) == ("adamw", 0.01)
    longer = SPEC.model_copy(update={"epochs": 30})
    assert longer.for_one_epoch() == spec, "a longer fine-tuning prunes the same"
