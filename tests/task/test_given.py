"""A task of objects: what it takes for what, and what its key follows from."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgecompress.spec.preprocessing import AudioPreprocessing
from edgecompress.task import ClassificationTask, MulticlassAccuracy, given
from edgecompress.task.given import Contract, Given, Read, Scoring, made
from edgecompress.task.load import original_model

X, Y = torch.randn(6, 4), torch.arange(6) % 3
DATA = [(X, Y), (X + 1, Y)]
FIRST = Read(seed=0, epoch=1, batches=1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.fc(x)
        return self.seen


class Total:
    higher_is_better = True

    def __init__(self) -> None:
        self.total = 0.0

    def update(self, outputs: Any, target: Any) -> None:
        self.total += float(outputs.sum())

    def compute(self) -> float:
        return self.total


def key(what: Given, read: Read = FIRST) -> str:
    task = what.task()
    return what.fingerprint(task, original_model(task), read)


def test_classes_are_seen() -> None:
    task = Given(Net(), DATA).task()
    assert isinstance(task, ClassificationTask)
    assert task.classes == 3
    assert isinstance(task.metric(), MulticlassAccuracy)
    assert task.example_inputs()[0].equal(X[:1])
    assert task.loss(torch.zeros(6, 3), Y) == pytest.approx(1.0986, abs=1e-3)


def test_with_a_metric_integers_may_be_anything() -> None:
    scoring = Scoring(metric=Total)
    assert isinstance(Given(Net(), DATA, scoring=scoring).task(), ClassificationTask)
    counts = [(X, Y + 5)]
    assert not isinstance(Given(Net(), counts, scoring=scoring).task(), ClassificationTask)


def test_a_loss_of_ones_own_takes_mixtures_for_labels() -> None:
    mixtures = [(X, torch.rand(6, 3))]
    scoring = Scoring(loss=lambda outputs, target: (outputs - target).abs().mean())
    task = Given(Net(), DATA, mixtures, scoring=scoring).task()
    (batch,) = task.train_data()
    assert task.loss(torch.zeros(6, 3), batch[1]) > 0


def test_a_metric_begins_anew_each_time() -> None:
    total = Total()
    total.total = 3.0
    first, second = made(total), made(Total)
    first.update(torch.ones(2), None)
    assert (total.total, first.compute(), second.compute()) == (3.0, 5.0, 0.0)
    assert made(lambda: total) is total


def test_the_model_that_is_given_is_never_touched() -> None:
    model = Net().train()
    model(X)
    assert model.seen is not None
    before = copy.deepcopy(model.state_dict())
    what = Given(model, DATA)
    key(what)
    copied = what.task().model()
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert model.training
    assert model.seen.requires_grad
    assert all(before[name].equal(each) for name, each in model.state_dict().items())


def test_the_key_is_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    what = Given(Net(), DATA)
    before = key(what)
    assert key(what) == before
    monkeypatch.setattr(given, "_PROCESS", "another")
    assert key(what) != before


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate": [DATA[0], (X + 2, Y)]},
        {"train": [(X - 1, Y)]},
        {"validate": [(X + 2, Y)]},
        {"scoring": Scoring(labels=("a", "b", "c"))},
        {"scoring": Scoring(loss=nn.CrossEntropyLoss())},
        {"scoring": Scoring(metric=Total)},
        {"example": (X[1:2],)},
        {"contract": Contract(AudioPreprocessing(sampling_rate_hz=8000, samples=4))},
        {"contract": Contract(decoder=nn.Softmax(1))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_key_follows_what_is_given(changes: dict[str, Any]) -> None:
    model = Net()
    known: dict[str, Any] = {"evaluate": DATA, "train": DATA}
    assert key(Given(model, **{**known, **changes})) != key(Given(model, **known))


def test_so_much_of_the_training_data_as_is_read() -> None:
    model, later = Net(), [DATA[0], (X - 9, Y)]
    ways = [Given(model, DATA, data) for data in (DATA, later)]
    assert key(ways[0]) == key(ways[1])
    whole = Read(seed=0, epoch=1, batches=None)
    assert key(ways[0], whole) != key(ways[1], whole)


def test_data_that_draws_is_left_where_it_was() -> None:
    loader = torch.utils.data.DataLoader(
        list(zip(X, Y, strict=True)), 2, shuffle=True, generator=torch.Generator().manual_seed(3)
    )
    what = Given(Net(), DATA, loader)
    before, drawn = loader.generator.get_state(), torch.get_rng_state()
    assert key(what) == key(what)
    assert loader.generator.get_state().equal(before)
    assert torch.get_rng_state().equal(drawn)
