"""The teacher is asked once for each sample, and what is kept is what it said."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from noise import Noise, changed, training
from torch import Tensor, nn

from edgecompress.compress.answers import Answers, keys_of
from edgecompress.compress.distill import Teacher
from edgecompress.compress.train import train
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import DistillSpec
from edgecompress.task import Batch


class Counting:
    def __init__(self) -> None:
        self.samples = 0

    def __call__(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        self.samples += len(inputs[0])
        return {"a": inputs[0] * 2, "b": (inputs[0].sum(1), inputs[1])}


def test_kept_by_sample_in_any_order_and_over_runs(tmp_path: Path) -> None:
    ask = Counting()
    answers = Answers(ask, tmp_path / "t.pt", SilentProgress())
    x, y = torch.randn(6, 3), torch.arange(6)
    answers.of((x[:4], y[:4]))
    order = torch.tensor([3, 0, 2])
    found = answers.of((x[order], y[order]))
    assert ask.samples == 4
    assert torch.equal(found["a"], x[order] * 2)
    assert torch.equal(found["b"][1], y[order])
    answers.of((x[3:], y[3:]))  # two are new
    assert ask.samples == 7
    # The same floats with another integer beside them are another sample.
    answers.of((x[:1], y[:1] + 1))
    assert ask.samples == 8
    answers.save()
    again = Answers(Counting(), tmp_path / "t.pt", SilentProgress())
    again.load((x[:1], y[:1]))
    found = again.of((x, y))
    assert again.ask.samples == 1  # for the structure alone
    assert torch.equal(found["a"], x * 2)
    assert len(again.rows) == 7


def test_an_input_that_is_of_all_samples_together_is_no_part_of_one(tmp_path: Path) -> None:
    answers = Answers(Counting(), tmp_path / "t.pt", SilentProgress())
    x = torch.randn(4, 3)
    for shared in (torch.tensor(1.0), torch.randn(2), torch.randn(7)):
        assert answers.of((x, shared)) is None
        assert not answers.rows


def test_what_is_damaged_is_asked_again(tmp_path: Path) -> None:
    answers = Answers(Counting(), tmp_path / "t.pt", SilentProgress())
    x = torch.randn(2, 3)
    answers.of((x, x))
    answers.save()
    content = bytearray((tmp_path / "t.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "t.pt").write_bytes(content)
    again = Answers(Counting(), tmp_path / "t.pt", SilentProgress())
    again.load((x[:1], x[:1]))
    assert again.rows == {}


def test_outputs_that_belong_to_no_sample_are_not_kept(tmp_path: Path) -> None:
    def ask(inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return inputs[0], inputs[0].mean()

    answers = Answers(ask, tmp_path / "t", SilentProgress())
    assert answers.of((torch.zeros(2, 3),)) is None
    assert answers.rows == {}


def test_keys_go_by_type_and_value() -> None:
    x = torch.tensor([[0.0], [1.0], [0.0]])
    keys = keys_of((x,))
    assert keys[0] == keys[2] != keys[1]
    assert keys_of((x.flip(0).t().contiguous().t(),)) == keys[::-1]


class Fixed(Noise):
    """The same samples in every epoch, in another order."""

    repeats_train_data = True

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(2)
        self.images = self.images + 0.1 * torch.randn(96, 1, 4, 4, generator=random)

    def train_data(self) -> Iterable[Batch]:
        for chosen in torch.randperm(96).split(32):
            yield self.images[chosen], self.labels_[chosen]


class Watched(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.samples = 0

    def forward(self, x: Tensor) -> Tensor:
        self.samples += len(x)
        return self.model(x)


@pytest.mark.parametrize("repeats", [True, False])
def test_training_asks_once_and_learns_the_same(tmp_path: Path, repeats: bool) -> None:
    trained, asked = [], []
    for fixed in (repeats, False):
        task = Fixed()
        task.repeats_train_data = fixed
        model, teacher = task.model(), Watched(task.model())
        folder = tmp_path / str(len(trained))
        folder.mkdir()
        settings = training(task, folder, changed(epochs=3))
        spec = DistillSpec(temperature=2.0, weight=0.5)
        settings.teacher = Teacher(teacher, spec, task)
        before = teacher.samples
        train(model, settings)
        asked.append(teacher.samples - before)
        trained.append(model)
    # One of example_inputs() shows whether channels last suit it.
    assert asked[1] == 1 + 3 * 96
    assert asked[0] == (1 + 96 if repeats else asked[1])
    torch.testing.assert_close(trained[0][0].weight, trained[1][0].weight, rtol=1e-3, atol=1e-5)
