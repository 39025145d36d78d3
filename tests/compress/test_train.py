"""The training loop on a small network that really learns."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from noise import SPEC, Noise, changed, training
from torch import Tensor, nn
from torchmetrics import Metric

from edgecompress.compress.score import validate
from edgecompress.compress.steps import learning_rate
from edgecompress.compress.train import train
from edgecompress.errors import ModelError, TaskError
from edgecompress.task import Batch
from edgecompress.task.seed import seed_everything


class Scripted(Metric):
    """Gives the next of some values at each validation."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values

    def update(self, outputs: Tensor, target: Tensor) -> None:
        pass

    def compute(self) -> float:
        return self.values.pop(0)


class Higher(Scripted):
    higher_is_better = True


class Lower(Scripted):
    higher_is_better = False


class Graded(Noise):
    """The metric is what the script says."""

    def __init__(self, kind: type[Scripted], values: list[float]) -> None:
        self.kind, self.values = kind, values
        super().__init__()

    def metric(self) -> Metric:
        return self.kind(self.values)


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_it_learns_and_repeats(tmp_path: Path) -> None:
    models, rows = [], []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        task = Noise()
        models.append(task.model())
        assert validate(models[-1], task) < 0.6
        rows.append(train(models[-1], training(task, tmp_path / name)))
    assert rows[0][-1].metric > 0.95
    assert [row.epoch for row in rows[0]] == [1, 2, 3, 4]
    assert rows[0] == rows[1]
    assert_same(*models)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stop_in", [(1, 2), (2, 0), (3, 1), (4, 0), (4, 2)])
def test_resumed_is_bit_identical(tmp_path: Path, optimizer: str, stop_in: tuple[int, int]) -> None:
    spec = changed(optimizer=optimizer, learning_rate=0.01)
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    task = Noise()
    whole = task.model()
    rows = train(whole, training(task, tmp_path / "whole", spec))

    task.served, task.stop_in = 0, stop_in
    with pytest.raises(KeyboardInterrupt):
        train(task.model(), training(task, tmp_path / "stopped", spec))
    again = Noise()
    seed_everything(99, 99)  # another process has another history
    resumed = again.model()
    assert train(resumed, training(again, tmp_path / "stopped", spec)) == rows
    assert_same(resumed, whole)
    assert again.served == spec.epochs - (stop_in[0] - 1)  # finished epochs are not redone


def test_a_finished_training_is_not_redone(tmp_path: Path) -> None:
    task = Noise()
    first = task.model()
    rows = train(first, training(task, tmp_path))
    task.served = 0
    second = task.model()
    assert train(second, training(task, tmp_path)) == rows
    assert task.served == 0
    assert_same(first, second)


def test_learning_rate_by_hand() -> None:
    spec = changed(epochs=12, warmup_epochs=2.0, learning_rate=1.0)
    assert learning_rate(spec, 0.0) == pytest.approx(0.01 / 2.01)
    assert learning_rate(spec, 1.0) == pytest.approx(1.01 / 2.01)
    assert learning_rate(spec, 2.0) == 1.0
    assert learning_rate(spec, 4.5) == pytest.approx(0.5 + math.sqrt(0.5) / 2)
    assert learning_rate(spec, 7.0) == pytest.approx(0.5)
    assert learning_rate(spec, 12.0) == pytest.approx(0.0)
    assert learning_rate(changed(warmup_epochs=0.0), 0.0) == SPEC.learning_rate


def test_early_stop(tmp_path: Path) -> None:
    task = Graded(Higher, [0.1, 0.5, 0.4, 0.5, 0.3, 0.9])
    rows = train(task.model(), training(task, tmp_path, changed(epochs=6, early_stop_epochs=2)))
    assert [row.metric for row in rows] == [0.1, 0.5, 0.4, 0.5]


@pytest.mark.parametrize(
    ("kind", "best_from", "best"), [(Higher, 0, 1), (Lower, 0, 2), (Higher, 2, 3), (Lower, 3, 3)]
)
def test_the_best_epoch_is_kept(
    tmp_path: Path, kind: type[Scripted], best_from: int, best: int
) -> None:
    task = Graded(kind, [0.3, 0.9, 0.1, 0.5])
    model, after = task.model(), {}
    settings = training(task, tmp_path)
    settings.best_from = best_from

    def snapshot(epoch: int) -> None:
        after[epoch - 1] = {name: value.clone() for name, value in model.state_dict().items()}

    settings.before_epoch = snapshot
    train(model, settings)
    snapshot(4)
    if best == 3:
        assert torch.equal(model[0].weight, after[3]["0.weight"])
    else:
        assert torch.equal(model[0].weight, after[best]["0.weight"])
    assert not torch.equal(after[2]["0.weight"], after[1]["0.weight"])
    assert not model.training


def test_nan_is_told(tmp_path: Path) -> None:
    task = Noise(scale=math.nan)
    with pytest.raises(ModelError, match="train: loss is nan in epoch 1, batch 1; lower learning"):
        train(task.model(), training(task, tmp_path))


def test_a_metric_that_is_not_finite_is_told(tmp_path: Path) -> None:
    task = Graded(Higher, [0.5, math.nan])
    with pytest.raises(TaskError, match=r"Graded\.metric\(\): Higher is nan"):
        train(task.model(), training(task, tmp_path))


class GradientsOff(Noise):
    """Its data come out of a no_grad(), as those of a task that labels them with a model do."""

    def train_data(self) -> Iterable[Batch]:
        with torch.no_grad():
            yield from super().train_data()


def test_data_that_leave_gradients_off_are_trained_on_as_others(tmp_path: Path) -> None:
    trained = []
    for task, name in ((Noise(), "a"), (GradientsOff(), "b")):
        model = task.model()
        (tmp_path / name).mkdir()
        train(model, training(task, tmp_path / name, changed(epochs=1)))
        trained.append(model)
    assert_same(*trained)


def test_a_view_in_the_model_is_no_obstacle(tmp_path: Path) -> None:
    """Channels last is tried, and given up where the model cannot have it."""

    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 4, 3, padding=1)
            self.linear = nn.Linear(64, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.linear(self.convolution(images).view(images.shape[0], 64))

    rows = train(Viewing(), training(Noise(), tmp_path))
    assert rows[-1].metric > 0.9


@pytest.mark.parametrize("keeps_start", [True, False])
def test_training_that_only_harms_leaves_a_start_that_may_stay(
    tmp_path: Path, keeps_start: bool
) -> None:
    task = Noise()
    model = task.model()
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    train(model, training(task, tmp_path / "good"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    harm = training(task, tmp_path / "bad", changed(epochs=1, learning_rate=50.0))
    harm.keeps_start = keeps_start
    train(model, harm)
    same = all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert same is keeps_start
