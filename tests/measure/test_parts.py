"""What is recorded of a metric's parts, with metrics of torchmetrics and of a user's own."""

from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassF1Score
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from edgecompress.errors import TaskError
from edgecompress.measure import parts as module
from edgecompress.measure.paired import proportions
from edgecompress.measure.parts import Scored
from edgecompress.measure.record import Record, metric_change
from edgecompress.measure.recorder import Recorder
from edgecompress.spec.measurement import Evaluation
from edgecompress.task import ClassificationTask, RetrievalAccuracy, Task

CLASSES = 3


class Any3(Task):
    """Anything with a metric; the model plays no part."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def model(self) -> nn.Module:
        return nn.Identity()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1),)

    def train_data(self) -> list[Any]:
        return []

    def eval_data(self) -> list[Any]:
        return []

    def loss(self, outputs: Any, target: Any) -> Tensor:
        return outputs.mean()

    def metric(self) -> Any:
        return self.make()


class Rmse:
    """A user's own: nothing but what a task needs."""

    higher_is_better = False

    def __init__(self) -> None:
        self.squares: list[Tensor] = []

    def update(self, outputs: Tensor, target: Any) -> None:
        wanted = target["wanted"] if isinstance(target, dict) else target
        self.squares.append((outputs[:, 0] - wanted) ** 2)

    def compute(self) -> Tensor:
        return torch.cat(self.squares).mean().sqrt()


class Batchwise(Rmse):
    """Has no value of less than four samples."""

    def update(self, outputs: Tensor, target: Any) -> None:
        if len(outputs) < 4:
            raise ValueError("too few")
        super().update(outputs, target)


def recorded(
    make: Any, outputs: Tensor, target: Any, cut: int = 32, task: Task | None = None
) -> Record:
    task, metric = Any3(make) if task is None else task, make()
    recorder = Recorder(task, None)
    for start in range(0, len(outputs), cut):
        rows = slice(start, start + cut)
        part = {k: v[rows] for k, v in target.items()} if isinstance(target, dict) else target[rows]
        task.update(metric, outputs[rows], part)
        recorder.add(Scored([outputs[rows].numpy()], part))
    return recorder.record(
        Evaluation(
            metric="m",
            value=float(metric.compute()),
            higher_is_better=bool(metric.higher_is_better),
            samples=len(outputs),
        ),
        metric,
    )


def noisy(seed: int, error: float, samples: int = 320) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(samples, generator=generator)
    own = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    return (wanted + error * own)[:, None], wanted


def flat(make: Any) -> Any:
    """A metric of torchmetrics on outputs [N, 1]."""

    class Flat(make):  # type: ignore[misc]
        def update(self, outputs: Tensor, target: Tensor) -> None:
            super().update(outputs[:, 0].contiguous(), target)

    return Flat


@pytest.mark.parametrize(
    ("make", "method"),
    [
        (flat(MeanSquaredError), "bootstrap"),
        (flat(MeanAbsoluteError), "bootstrap"),
        (lambda: flat(MeanSquaredError)(squared=False), "jackknife"),
        (flat(R2Score), "jackknife"),
        (Rmse, "jackknife"),
        (Batchwise, "jackknife"),
    ],
)
@pytest.mark.parametrize("cut", [32, 320])
def test_a_regression_has_an_interval_whatever_its_metric(make: Any, method: str, cut: int) -> None:
    (first, wanted), (second, _), (worse, _) = (noisy(1, 0.1), noisy(2, 0.1), noisy(2, 0.2))
    before, alike, after = (recorded(make, one, wanted, cut) for one in (first, second, worse))
    same, change = metric_change(before, alike), metric_change(before, after)
    assert same is not None
    assert change is not None
    assert (same.method, change.method) == (method, method)
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
    assert change.low is not None
    assert change.low > 0


def embedded(seed: int, samples: int = 400) -> tuple[Tensor, Tensor]:
    """Noisy copies of 25 random points."""
    points = torch.randn(25, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(25).repeat(samples // 25)
    copies = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
    noise = [torch.randn(samples, 8, generator=each) for each in copies]
    return points[labels] + 0.9 * noise[0] + 0.05 * noise[1], labels


def test_a_search_has_the_interval_of_its_samples() -> None:
    (first, labels), (second, _) = embedded(2), embedded(3)
    before, after = (recorded(RetrievalAccuracy, each, labels) for each in (first, second))
    change = metric_change(before, after)
    assert change is not None
    assert change.method == "answers"
    assert before.left_out is None
    assert before.scores is not None
    assert after.scores is not None
    wrong = before.scores > after.scores
    right = before.scores < after.scores
    assert wrong.any()
    assert right.any()
    limits = proportions(int(wrong.sum()), int(right.sum()), len(labels))
    assert (change.low, change.high) == limits


def test_values_of_many_samples_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNITS", 64)
    outputs, labels = embedded(2)
    record = recorded(RetrievalAccuracy, outputs, labels)
    assert record.scores is not None
    assert record.sizes is not None
    assert len(record.scores) == 50
    assert record.sizes.tolist() == [8] * 50
    assert np.average(record.scores, weights=record.sizes) == pytest.approx(record.value)


class Wrong(RetrievalAccuracy):
    def __init__(self, values: Any) -> None:
        super().__init__()
        self.values = values

    def per_sample(self) -> Tensor:
        return self.values()

    def compute(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda: torch.ones(3), "it gave 3 with the mean 1"),
        (lambda: torch.ones(400), "it gave 400 with the mean 1"),
        (lambda: torch.ones(0), "it gave 0"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_is_no_value_of_each_sample_is_refused(values: Any, said: str) -> None:
    outputs, labels = embedded(2)
    with pytest.raises(TaskError, match=r"Wrong\.per_sample\(\)") as refusal:
        recorded(lambda: Wrong(values), outputs, labels)
    assert said in str(refusal.value)


def test_a_target_may_be_a_dictionary() -> None:
    outputs, wanted = noisy(1, 0.1)
    record = recorded(Rmse, outputs, {"wanted": wanted})
    assert record.left_out is not None
    assert len(record.left_out) == module.GROUPS
    groups = np.arange(320) % module.GROUPS
    kept = torch.from_numpy(groups != 3)
    expected = (((outputs[:, 0] - wanted) ** 2)[kept]).mean().sqrt()
    assert record.left_out[3] == pytest.approx(float(expected), rel=1e-5)


def test_what_cannot_be_divided_is_left_out_by_batches() -> None:
    class Names:
        """A target that only its metric understands."""

        def __init__(self, wanted: Tensor) -> None:
            self.wanted = wanted

        def __getitem__(self, rows: slice) -> "Names":
            return Names(self.wanted[rows])

    class Named(Rmse):
        def update(self, outputs: Tensor, target: Any) -> None:
            super().update(outputs, target.wanted)

    outputs, wanted = noisy(1, 0.1)
    record = recorded(Named, outputs, Names(wanted))
    assert record.left_out is not None
    assert len(record.left_out) == 10
    alone = recorded(Named, outputs, Names(wanted), cut=320)
    assert (alone.left_out, alone.scores) == (None, None)


def scores(seed: int, sharpness: float, samples: int = 320) -> tuple[Tensor, Tensor]:
    labels = torch.arange(samples) % CLASSES
    noise = torch.randn(samples, CLASSES, generator=torch.Generator().manual_seed(seed))
    return sharpness * nn.functional.one_hot(labels, CLASSES) + noise, labels


@pytest.mark.parametrize(
    ("make", "method"),
    [
        (lambda: MulticlassAccuracy(CLASSES, average="micro"), "answers"),
        (lambda: MulticlassF1Score(CLASSES, average="macro"), "jackknife"),
        (lambda: MulticlassAUROC(CLASSES), "jackknife"),
    ],
)
def test_a_classification_of_a_task_of_any_kind(make: Any, method: str) -> None:
    (first, labels), (second, _), (worse, _) = (scores(5, 3.0), scores(4, 3.0), scores(4, 1.0))
    before, alike, after = (recorded(make, one, labels) for one in (first, second, worse))
    same, change = metric_change(before, alike), metric_change(before, after)
    assert same is not None
    assert change is not None
    assert same.method == change.method == method
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
    assert change.low is not None
    assert change.low > 0
    assert (same.answers is not None) == (method == "answers")


@pytest.mark.parametrize(
    ("make", "method", "alone"),
    [
        (lambda: MulticlassAccuracy(CLASSES, average="micro"), "answers", False),
        (lambda: MulticlassAccuracy(CLASSES, average="micro", top_k=2), "answers", True),
        (lambda: MulticlassF1Score(CLASSES, average="macro"), "jackknife", False),
    ],
)
def test_a_classification_task_has_its_answers_recorded(
    make: Any, method: str, alone: bool
) -> None:
    class Classes(Any3, ClassificationTask):
        classes = CLASSES

    (first, labels), (second, _) = scores(1, 0.5), scores(2, 0.5)
    before, after = (recorded(make, one, labels, task=Classes(make)) for one in (first, second))
    assert (before.scores is not None) == alone
    change = metric_change(before, after)
    assert change is not None
    assert change.method == method
    assert change.answers is not None
    assert len(change.classes) == CLASSES


def test_many_samples_are_joined_and_still_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNITS", 100)
    outputs, wanted = noisy(1, 0.1, 1000)
    record = recorded(flat(MeanSquaredError), outputs, wanted, 48)
    assert record.scores is not None
    assert record.sizes is not None
    assert len(record.scores) <= 100
    assert record.sizes.sum() == 1000
    assert record.is_mean


def test_a_metric_that_is_one_for_all_is_left_alone() -> None:
    shared = torchmetrics.MeanMetric()
    outputs, wanted = noisy(1, 0.1)
    recorder = Recorder(Any3(lambda: shared), None)
    recorder.add(Scored([outputs.numpy()], wanted))
    assert not bool(shared.update_called)


def test_of_many_outputs_distances_are_kept() -> None:
    generator = np.random.default_rng(0)
    first = generator.normal(size=(200, 4000)).astype(np.float32)
    second = first + generator.normal(0, 0.1, size=first.shape).astype(np.float32)
    sketches = []
    for each in (first, second):
        recorder = Recorder(Any3(Rmse), None)
        recorder.add(Scored([each], torch.zeros(200)))
        record = recorder.record(
            Evaluation(metric="m", value=0.0, higher_is_better=True, samples=200), Rmse()
        )
        assert record.outputs is not None
        sketches.append(record.outputs)
    assert sketches[0].shape == (200, 32)
    exact = ((first - second) ** 2).sum(axis=1)
    kept = ((sketches[0] - sketches[1]) ** 2).sum(axis=1)
    assert kept.mean() == pytest.approx(exact.mean(), rel=0.1)
