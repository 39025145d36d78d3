"""The metrics of the kinds of task are those of torchmetrics and scikit-learn, without them."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torchmetrics import JaccardIndex, MeanAbsoluteError, Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelAveragePrecision,
    MultilabelF1Score,
)

from edgecompress import task as ours

CLASSES, IGNORED = 4, 255
SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**32)


def scores_of(random: torch.Generator, *shape: int) -> Tensor:
    """With a few equal ones, as eight bits give them."""
    return (torch.randn(*shape, generator=random) * 4).round() / 4


def masks(random: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    scores = torch.randn(size, CLASSES, 3, 5, generator=random)
    # The last class is rare, and in small sets absent.
    labels = torch.randint(CLASSES * 8, (size, 3, 5), generator=random) // 10
    labels[torch.rand(labels.shape, generator=random) < 0.2] = IGNORED
    return scores, labels


def tokens(random: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    scores, labels = masks(random, size)
    return scores.flatten(2).transpose(1, 2), labels.flatten(1)


def several(random: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    logits = scores_of(random, size, CLASSES)
    return logits, torch.randint(2, (size, CLASSES), generator=random)


def present(random: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    """What no sample has counts as 0 there, and not at all here."""
    logits, labels = several(random, size)
    labels[0] = 1
    return logits, labels


def numbers(random: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(size, 3, generator=random), torch.randn(size, 3, generator=random)


def second(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """torchmetrics has the classes there."""
    return scores.transpose(1, 2), labels


def as_given(*pair: Tensor) -> tuple[Tensor, ...]:
    return pair


def probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    # Halves count as given there, and not here, where the answer is a logit above zero.
    return logits.sub(1e-3).sigmoid(), labels


KNOWN: dict[str, tuple[Callable[[], Any], Callable[[], Metric], Any, Any]] = {
    "mean intersection over union": (
        lambda: ours.MeanIntersectionOverUnion(CLASSES, IGNORED),
        lambda: JaccardIndex("multiclass", num_classes=CLASSES, ignore_index=IGNORED),
        masks,
        as_given,
    ),
    "mean absolute error": (ours.MeanAbsoluteError, MeanAbsoluteError, numbers, as_given),
    "F1 of several labels": (
        lambda: ours.MultilabelF1Score(CLASSES),
        lambda: MultilabelF1Score(num_labels=CLASSES),
        several,
        probabilities,
    ),
    "average precision": (
        ours.MultilabelAveragePrecision,
        lambda: MultilabelAveragePrecision(num_labels=CLASSES),
        present,
        lambda scores, labels: (scores.double().sigmoid(), labels),
    ),
    "accuracy of tokens": (
        lambda: ours.LabelAccuracy(IGNORED),
        lambda: MulticlassAccuracy(CLASSES, average="micro", ignore_index=IGNORED),
        tokens,
        second,
    ),
    "F1 of tokens": (
        lambda: ours.MacroF1Score(CLASSES, IGNORED),
        lambda: MulticlassF1Score(CLASSES, average="macro", ignore_index=IGNORED),
        tokens,
        second,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, seed=SEEDS)
def test_it_is_that_of_torchmetrics(name: str, sizes: list[int], seed: int) -> None:
    make, make_reference, draw, prepare = KNOWN[name]
    metric, reference = make(), make_reference()
    assert isinstance(metric, ours.Metric)
    assert metric.higher_is_better is reference.higher_is_better
    random = torch.Generator().manual_seed(seed)
    for size in sizes:
        pair = draw(random, size)
        metric.update(*pair)
        reference.update(*prepare(*pair))
    wanted = float(reference.compute())
    if math.isnan(wanted):
        assert math.isnan(metric.compute())
    else:
        assert metric.compute() == pytest.approx(wanted, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(size=st.integers(2, 40), seed=SEEDS)
def test_f1_and_average_precision_are_those_of_scikit_learn(size: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    logits, labels = several(random, size)
    labels[0] = 1  # what no sample has is no class there
    f1, precision = ours.MultilabelF1Score(CLASSES), ours.MultilabelAveragePrecision()
    f1.update(logits, labels)
    precision.update(logits, labels)
    wanted = f1_score(labels.numpy(), (logits > 0).numpy(), average="macro", zero_division=0)
    assert f1.compute() == pytest.approx(wanted)
    wanted = average_precision_score(labels.numpy(), logits.numpy(), average="macro")
    assert precision.compute() == pytest.approx(wanted)


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, seed=SEEDS)
def test_retrieval_is_by_the_nearest_neighbour(sizes: list[int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    metric = ours.RetrievalAccuracy()
    embeddings = torch.randn(sum(sizes), 6, generator=random)
    labels = torch.randint(3, (sum(sizes),), generator=random)
    for pair in zip(embeddings.split(sizes), labels.split(sizes), strict=True):
        metric.update(*pair)
    if len(labels) < 2:
        assert math.isnan(metric.compute())
        return
    neighbours = NearestNeighbors(n_neighbors=2, metric="cosine").fit(embeddings.numpy())
    nearest = neighbours.kneighbors(embeddings.numpy(), return_distance=False)[:, 1]
    alike = labels[torch.from_numpy(nearest)] == labels
    assert metric.compute() == pytest.approx(float(alike.float().mean()))
    assert metric.per_sample().tolist() == alike.tolist()


def test_many_embeddings_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    pair = torch.randn(50, 6, generator=random), torch.randint(3, (50,), generator=random)
    values = []
    for rows in (1024, 7):
        monkeypatch.setattr("edgecompress.task.metrics.retrieval._ROWS", rows)
        metric = ours.RetrievalAccuracy()
        metric.update(*pair)
        values.append(metric.compute())
    assert values[0] == values[1]


def test_keypoints_count_within_a_distance_and_where_they_are_seen() -> None:
    metric = ours.CorrectKeypoints(within=5.0)
    found = torch.tensor([[[0.0, 0], [3, 4], [9, 9]]])
    wanted = torch.tensor([[[3.0, 4, 1], [9, 12, 1], [0, 0, 0]]])
    metric.update(found, wanted)
    assert metric.compute() == 0.5  # 5 pixels are within, 10 are not, the third cannot be seen
    metric.update(found, found)
    assert metric.compute() == 4 / 5


@pytest.mark.parametrize(
    "make",
    [
        *(each[0] for each in KNOWN.values()),
        ours.RetrievalAccuracy,
        lambda: ours.CorrectKeypoints(1.0),
    ],
)
def test_of_nothing_there_is_no_number(make: Callable[[], Any]) -> None:
    assert math.isnan(make().compute())
