"""The moving average of weights, accumulated gradients, and the loop as it always was."""

from pathlib import Path

import pytest
import torch
from noise import Noise, changed, training
from test_train import assert_same
from torch import nn

from edgecompress.compress.averaging import Averaged
from edgecompress.compress.score import validate
from edgecompress.compress.steps import learning_rate
from edgecompress.compress.train import train
from edgecompress.task.seed import seed_everything


def test_the_average_by_hand() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    average = Averaged(model, 0.25)
    value = 1.0
    for step in (1, 2, 3):
        with torch.no_grad():
            model[0].weight.fill_(step + 1.0)
            model[1].running_mean.fill_(8.0)
        average.follow()
        decay = min(0.25, (1 + step) / (10 + step))
        value = decay * value + (1 - decay) * (step + 1.0)
    assert average.state["0.weight"].item() == pytest.approx(value)
    with average.in_place():
        assert model[0].weight.item() == pytest.approx(value)
        assert 7.0 < model[1].running_mean.item() < 8.0
    assert model[0].weight.item() == 4.0
    assert model[1].running_mean.item() == 8.0


def test_the_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    spec = changed(ema_decay=0.95, epochs=3)
    task = Noise()
    model = task.model()
    rows = train(model, training(task, tmp_path, spec))
    assert validate(model, task) == max(row.metric for row in rows)
    plain = task.model()
    (tmp_path / "plain").mkdir()
    train(plain, training(task, tmp_path / "plain", changed(epochs=3)))
    # The same steps were made, and something else was kept of them.
    assert not torch.equal(plain[0].weight, model[0].weight)


@pytest.mark.parametrize("stop_in", [(2, 0), (3, 1)])
def test_resumed_with_an_average_is_bit_identical(tmp_path: Path, stop_in: tuple[int, int]) -> None:
    spec = changed(ema_decay=0.9, accumulate=2)
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    task = Noise()
    whole = task.model()
    rows = train(whole, training(task, tmp_path / "whole", spec))
    task.served, task.stop_in = 0, stop_in
    with pytest.raises(KeyboardInterrupt):
        train(task.model(), training(task, tmp_path / "stopped", spec))
    resumed = Noise().model()
    assert train(resumed, training(Noise(), tmp_path / "stopped", spec)) == rows
    assert_same(resumed, whole)


class Halves(Noise):
    """The batches of `Wholes` in halves."""

    parts = 2

    def train_data(self):
        for chosen in torch.arange(96).split(32):
            for half in chosen.chunk(self.parts):
                yield self.images[half], self.labels_[half]


class Wholes(Halves):
    parts = 1


def test_halves_accumulated_are_wholes(tmp_path: Path) -> None:
    """Three batches in halves, two for each step, and the same with one batch too many."""
    trained = []
    for task, accumulate in ((Wholes(), 1), (Halves(), 2)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        folder = tmp_path / type(task).__name__
        folder.mkdir()
        spec = changed(epochs=2, accumulate=accumulate, gradient_clip=0.3, warmup_epochs=0.0)
        train(model, training(task, folder, spec))
        trained.append(model)
    torch.testing.assert_close(trained[0][1].weight, trained[1][1].weight)


def test_what_is_left_over_makes_a_step_of_its_own(tmp_path: Path) -> None:
    """Three batches, two for each step: the last step is the mean of one."""
    task = Wholes()
    torch.manual_seed(0)
    model, by_hand = (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)) for _ in range(2))
    by_hand.load_state_dict(model.state_dict())
    spec = changed(epochs=1, accumulate=2, weight_decay=0.0, warmup_epochs=0.0)
    train(model, training(task, tmp_path, spec))
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    batches = list(task.train_data())
    for group in (batches[:2], batches[2:]):
        # As three batches were not known beforehand, the first epoch has one rate.
        optimizer.param_groups[0]["lr"] = learning_rate(spec, 0.0)
        optimizer.zero_grad()
        for x, labels in group:
            (task.loss(by_hand(x), labels) / len(group)).backward()
        optimizer.step()
    torch.testing.assert_close(model[1].weight, by_hand[1].weight)


def test_one_cpu_trains_bit_by_bit_as_a_plain_loop(tmp_path: Path) -> None:
    """The loop of a tutorial, with the same seeds: nothing that serves devices or processes may
    change a number here.
    """
    task, spec = Noise(), changed(epochs=2, gradient_clip=1.0)
    model, plain = task.model(), task.model()
    train(model, training(task, tmp_path, spec))
    plain.to(memory_format=torch.channels_last)
    weights = [p for p in plain.parameters() if p.dim() > 1]
    others = [p for p in plain.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)
    best, kept = -1.0, {}
    for epoch in range(2):
        seed_everything(3, epoch)
        plain.train()
        for index, (x, labels) in enumerate(task.train_data()):
            # How many batches there are is known from the first epoch.
            rate = learning_rate(spec, epoch + (index / 3 if epoch else 0.0))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(x), labels).backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
        plain.eval()
        with torch.no_grad():
            right = (plain(task.images).argmax(1) == task.labels_).float().mean().item()
        if right > best:
            best, kept = right, {name: value.clone() for name, value in plain.state_dict().items()}
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[name]), name
