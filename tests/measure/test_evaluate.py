"""Real files in the real runtime, scored on real tasks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_files
import pytest
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.regression import MeanAbsoluteError

from edgecompress.errors import ArtifactError, ModelError, TaskError
from edgecompress.measure import evaluate as module
from edgecompress.measure.evaluate import Runs, _is_share, evaluate, infer_all
from edgecompress.measure.parity import Execution, Executions
from edgecompress.task import Batch, ClassificationTask, MulticlassAccuracy, Task
from edgecompress.task.guard import guard

FEATURES, CLASSES = 8, 3


class Scores(ClassificationTask):
    """Classification of the given batches; the model plays no part here."""

    classes = CLASSES

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches

    def model(self) -> nn.Module:
        return nn.Linear(FEATURES, CLASSES, bias=False)

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, FEATURES),)

    def train_data(self) -> Iterable[Batch]:
        return self.batches

    def eval_data(self) -> Iterable[Batch]:
        return self.batches


class Regression(Task):
    """Two inputs, two outputs; the metric sees both."""

    def __init__(self, batches: Iterable[Batch], metric: Metric) -> None:
        self.batches = batches
        self._metric = metric

    def model(self) -> nn.Module:
        return nn.Identity()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3), torch.zeros(1, 3, 2))

    def train_data(self) -> Iterable[Batch]:
        return self.batches

    def eval_data(self) -> Iterable[Batch]:
        return self.batches

    def loss(self, outputs: Any, target: Any) -> Tensor:
        return outputs[0].mean()

    def metric(self) -> Metric:
        return self._metric

    def update(self, metric: Metric, outputs: Any, target: Any) -> None:
        for output, wanted in zip(outputs, target, strict=True):
            metric.update(output, wanted)


@pytest.fixture
def linear(tmp_path):
    path = tmp_path / "linear.onnx"
    weight = onnx_files.linear(path, FEATURES, CLASSES)
    return onnx_files.loaded(path), torch.from_numpy(weight)


@pytest.fixture
def score(agent, tmp_path):
    """score(file, task): its Evaluation and what progress was told."""

    def run(file, task):
        told: list[int] = []
        guard(task)
        return evaluate(Runs(agent, file, tmp_path), task, told.append), told

    return run


def labelled(weight: Tensor, sizes: list[int], wrong: int) -> list[Batch]:
    """Batches whose labels are the model's own answers, but for `wrong` of them."""
    torch.manual_seed(0)
    images = torch.randn(sum(sizes), FEATURES)
    labels = (images @ weight).argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % CLASSES
    return list(zip(images.split(sizes), labels.split(sizes), strict=True))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_accuracy_of_any_batch_size(score, tmp_path, batch):
    path = tmp_path / "model.onnx"
    weight = torch.from_numpy(onnx_files.linear(path, FEATURES, CLASSES, batch))
    task = Scores(labelled(weight, [7, 1, 12], wrong=5))
    found, told = score(onnx_files.loaded(path), task)
    assert found.value == pytest.approx(15 / 20)
    assert (found.metric, found.higher_is_better) == ("MulticlassAccuracy", True)
    assert found.samples == 20
    assert told == [7, 8, 20]


@pytest.mark.parametrize(
    ("limit", "value", "shards"),
    [("SHARD_SAMPLES", 10, 4), ("SHARD_BYTES", 12 * FEATURES * 4, 3), ("SHARD_SAMPLES", 100, 1)],
)
def test_shards_keep_order_and_limits(
    agent, transport, tmp_path, linear, monkeypatch, limit, value, shards
):
    file, weight = linear
    monkeypatch.setattr(module, limit, value)
    batches = labelled(weight, [6, 6, 13, 4, 4], wrong=0)
    found = list(infer_all(Runs(agent, file, tmp_path), batches))
    assert len(found) == 5
    for (outputs, target), (images, labels) in zip(found, batches, strict=True):
        np.testing.assert_allclose(outputs[0], (images @ weight).numpy(), rtol=1e-4, atol=1e-5)
        assert target is labels
    assert sum(name.endswith(".npz") for name in transport.sent) == shards
    assert not list(tmp_path.glob("shard-*"))


@pytest.mark.parametrize("batch", ["batch", 1])
def test_several_inputs_and_outputs(score, tmp_path, batch):
    path = tmp_path / "two.onnx"
    onnx_files.two_by_two(path, batch)
    torch.manual_seed(0)
    a, b = torch.randn(5, 3), torch.randn(5, 3, 2)
    exact = (a[:, :, None] + b, 2 * a + 0.5)
    task = Regression([((a, b), exact)], MeanAbsoluteError())
    found, _ = score(onnx_files.loaded(path), task)
    # 30 values are exact, 15 are 0.5 off.
    assert found.value == pytest.approx(0.5 * 15 / 45)
    assert not found.higher_is_better


@pytest.mark.parametrize("rebuilds", [True, False])
def test_the_task_is_given_what_the_model_returns(agent, tmp_path, linear, rebuilds):
    seen = []

    class Noting(Scores):
        def update(self, metric, outputs, target):
            seen.append(outputs)
            super().update(metric, outputs["scores"] if rebuilds else outputs, target)

    file, weight = linear
    (batch,) = labelled(weight, [4], wrong=1)
    task = Noting([batch])
    guard(task)
    rebuild = (lambda tensors: {"scores": tensors[0]}) if rebuilds else None
    found = evaluate(Runs(agent, file, tmp_path), task, lambda _: None, rebuild)
    assert found.value == 0.75
    assert isinstance(seen[0], dict if rebuilds else Tensor)
    assert (found.parity, found.hops, found.original) == (None, (), None)


def test_the_file_is_compared_with_what_it_was_made_of(agent, tmp_path, linear):
    file, weight = linear
    batches = labelled(weight, [4, 3], wrong=0)
    scores = [[(images @ weight).numpy()] for images, _ in batches]
    task = Scores(batches)
    guard(task)
    against = Executions([Execution("torch", iter(scores))])
    found = evaluate(Runs(agent, file, tmp_path), task, lambda _: None, against=against)
    assert found.parity is not None
    assert (found.parity.reference, found.parity.samples) == ("torch", 7)
    assert found.parity.top1_agreement == 1.0
    assert [(hop.kind, hop.parity) for hop in found.hops] == [("exported", found.parity)]


def test_a_share_is_told_by_the_limits_of_its_plot():
    class Bounded(Loud):
        plot_lower_bound, plot_upper_bound = 0.0, 1.0

    class Percent(Loud):
        plot_lower_bound, plot_upper_bound = 0.0, 100.0

    class Score(Loud):
        plot_lower_bound, plot_upper_bound = -1.0, 1.0

    shares = [_is_share(metric) for metric in (Bounded(), Percent(), Score(), Loud())]
    assert shares == [True, False, False, False]
    assert _is_share(MulticlassAccuracy())


def test_integer_inputs_and_outputs_are_quantised_on_the_host(agent, tmp_path):
    path = tmp_path / "int8.onnx"
    onnx_files.doubler_int8(path)
    file = onnx_files.loaded(path, {"x": (0.5, 10), "y": (0.25, -3)})
    real = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 4.0, 0.7, 500.0]])
    ((outputs, _),) = infer_all(Runs(agent, file, tmp_path), [(real, None)])
    assert outputs[0].dtype == np.float32
    # 0.7 is rounded to 0.5 on the way in; 500 saturates at both ends.
    assert outputs[0].tolist() == [[2, -4, 1, 6], [0, 8, 1, 130 * 0.25]]


def test_batches_of_different_shapes(agent, tmp_path):
    path = tmp_path / "free.onnx"
    onnx_files.save(
        path,
        [onnx_files.helper.make_node("Add", ["x", "x"], ["y"])],
        [onnx_files.value("x", onnx_files.FLOAT, ["batch", "length"])],
        [onnx_files.value("y", onnx_files.FLOAT, ["batch", "length"])],
        {},
    )
    batches = [(torch.ones(2, length), length) for length in (3, 3, 5)]
    found = list(infer_all(Runs(agent, onnx_files.loaded(path), tmp_path), batches))
    assert [outputs[0].shape for outputs, _ in found] == [(2, 3), (2, 3), (2, 5)]


IMAGES = torch.zeros(2, FEATURES)
LABELS = torch.tensor([0, 1])


def broken_data() -> Iterable[Batch]:
    yield IMAGES, LABELS
    raise FileNotFoundError("images/7.png")


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], r"Scores\.eval_data\(\): gives no batches"),
        ([IMAGES], r"batch 0 is not \(inputs, target\)"),
        ([(IMAGES, torch.tensor([0, 3]))], "batch 0: label 3 is out of range; .* 0 to 2"),
        ([(IMAGES, LABELS), (IMAGES, torch.tensor([-1, 0]))], "batch 1: label -1 is out of range"),
        ([(IMAGES, LABELS.float())], r"labels must be integers of shape \[N\], got torch.float32"),
        ([(IMAGES, LABELS[:, None])], r"got torch.int64 of shape \[2, 1\]"),
        ([(IMAGES, {"label": 1})], "labels are not a tensor"),
        ([(IMAGES, torch.tensor([0]))], "a batch of 2 samples has 1 labels"),
        ([("images", LABELS)], "every input must be a tensor"),
        ([(IMAGES[:0], LABELS[:0])], "the same number of samples, not 0"),
        ([((IMAGES, IMAGES), LABELS)], "the task gives 2 inputs, linear.onnx takes 1"),
        ([(IMAGES.double(), LABELS)], "takes float32, the task gives float64"),
        ([(IMAGES.bfloat16(), LABELS)], "BFloat16"),
        (broken_data(), r"eval_data\(\): FileNotFoundError: images/7.png"),
    ],
)
def test_data_that_cannot_be_scored(score, linear, batches, message):
    with pytest.raises(TaskError, match=message) as caught:
        score(linear[0], Scores(batches))
    assert "\n" not in str(caught.value)


def test_outputs_with_nan(score, tmp_path):
    path = tmp_path / "nan.onnx"
    onnx_files.constant(path, float("nan"), FEATURES, CLASSES)
    with pytest.raises(ModelError, match=r"nan\.onnx: output 'scores' holds NaN"):
        score(onnx_files.loaded(path), Scores([(IMAGES, LABELS)]))


def test_outputs_of_another_number_of_classes(score, tmp_path):
    path = tmp_path / "five.onnx"
    onnx_files.linear(path, FEATURES, classes=5)
    with pytest.raises(ModelError, match=r"shapes \[\[2, 5\]\]; the task needs one of \[N, 3\]"):
        score(onnx_files.loaded(path), Scores([(IMAGES, LABELS)]))


def test_changed_artifact_is_not_evaluated(score, linear):
    file, _ = linear
    file.file.write_bytes(file.file.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="content has changed"):
        score(file, Scores([(IMAGES, LABELS)]))


class Silent(Metric):
    """Says nothing of its direction, and gives whatever it is told to."""

    def __init__(self, value: Any = 1.0) -> None:
        super().__init__()
        self.value = value

    def update(self, outputs: Tensor, target: Tensor) -> None:
        pass

    def compute(self) -> Any:
        return self.value


class Loud(Silent):
    higher_is_better = True


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Silent(), "Silent does not say which way is better"),
        (MeanMetric(), "MeanMetric does not say which way is better"),
        (Loud(torch.ones(2)), "Loud gives no single number"),
        (Loud(torch.tensor(float("nan"))), "Loud is nan, not a number"),
    ],
)
def test_metrics_that_are_no_measure(score, tmp_path, metric, message):
    path = tmp_path / "two.onnx"
    onnx_files.two_by_two(path, "batch")
    batch = ((torch.ones(2, 3), torch.ones(2, 3, 2)), (torch.ones(2, 3, 2), torch.ones(2, 3)))
    with pytest.raises(TaskError, match=message):
        score(onnx_files.loaded(path), Regression([batch], metric))
