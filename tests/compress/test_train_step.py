"""One step of the training loop, beside what is computed by hand."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from noise import SPEC, Noise, changed, training
from torch import Tensor, nn
from torchmetrics import MeanSquaredError, Metric

from edgecompress.compress.train import train
from edgecompress.errors import TaskError
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task import Batch, Task


def one_step(folder: Path, task: Task, spec: TrainSpec) -> tuple[nn.Module, nn.Module]:
    """A linear model before and after one step."""
    torch.manual_seed(0)
    before, after = (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)) for _ in range(2))
    after.load_state_dict(before.state_dict())
    train(after, training(task, folder, spec))
    return before, after


class OneBatch(Noise):
    def train_data(self) -> Iterable[Batch]:
        return [(self.images, self.labels_)]


def test_gradient_clip_by_hand(tmp_path: Path) -> None:
    spec = changed(
        epochs=1, learning_rate=0.1, weight_decay=0.0, warmup_epochs=0.0, gradient_clip=0.01
    )
    before, after = one_step(tmp_path, OneBatch(scale=1000.0), spec)
    change = torch.cat(
        [(a - b).flatten() for a, b in zip(after.parameters(), before.parameters(), strict=True)]
    )
    # The first step of Nesterov's momentum goes 1 + 0.9 gradients far.
    assert float(change.detach().norm()) == pytest.approx(0.1 * 1.9 * 0.01, rel=1e-4)


def test_biases_are_not_decayed(tmp_path: Path) -> None:
    spec = changed(epochs=1, learning_rate=0.1, weight_decay=0.5, warmup_epochs=0.0)
    before, after = one_step(tmp_path, OneBatch(scale=0.0), spec)
    torch.testing.assert_close(after[1].weight, before[1].weight * (1 - 0.1 * 0.5 * 1.9))
    assert torch.equal(after[1].bias, before[1].bias)


def test_penalty_is_added(tmp_path: Path) -> None:
    task = OneBatch(scale=0.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    settings = training(task, tmp_path, changed(weight_decay=0.0))
    settings.penalty = lambda: model[1].weight.square().sum()
    settings.best_from = SPEC.epochs - 1
    before = float(model[1].weight.detach().norm())
    train(model, settings)
    assert float(model[1].weight.detach().norm()) < 0.7 * before


def test_label_smoothing_is_for_the_loop_alone(tmp_path: Path) -> None:
    seen = []

    class Watching(OneBatch):
        def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
            seen.append(self.label_smoothing)
            return super().loss(outputs, target)

    task = Watching()
    one_step(tmp_path, task, changed(epochs=1, label_smoothing=0.1))
    assert seen == [0.1]
    assert task.label_smoothing == 0.0
    scores, target = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0])
    task.label_smoothing = 0.3
    log_p = scores.log_softmax(1)[0]
    expected = -(0.7 + 0.1) * log_p[0] - 0.1 * log_p[1] - 0.1 * log_p[2]
    torch.testing.assert_close(task.loss(scores, target), expected)


class Regression(Task):
    def model(self) -> nn.Module:
        return nn.Linear(2, 1)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 2),)

    def train_data(self) -> Iterable[Batch]:
        return [(torch.ones(4, 2), torch.ones(4, 1))]

    eval_data = train_data

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return (outputs - target).square().mean()

    def metric(self) -> Metric:
        return MeanSquaredError()


def test_label_smoothing_needs_labels(tmp_path: Path) -> None:
    task = Regression()
    with pytest.raises(TaskError, match="label_smoothing needs a ClassificationTask; set it to 0"):
        train(task.model(), training(task, tmp_path, changed(label_smoothing=0.1)))
