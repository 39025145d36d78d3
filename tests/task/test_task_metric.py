"""Accuracy is that of torchmetrics, without it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy as Reference

from edgecompress.task import Metric, MulticlassAccuracy


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    classes=st.integers(2, 6),
    seed=st.integers(0, 2**32),
)
def test_accuracy_is_the_share_of_right_answers(sizes: list[int], classes: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    ours, reference = MulticlassAccuracy(), Reference(num_classes=classes, average="micro")
    for size in sizes:
        scores = torch.randn(size, classes, generator=random)
        labels = torch.randint(classes, (size,), generator=random)
        ours.update(scores, labels)
        reference.update(scores, labels)
    assert ours.compute() == pytest.approx(float(reference.compute()), abs=1e-6)


def test_accuracy_of_nothing_is_no_number() -> None:
    assert math.isnan(MulticlassAccuracy().compute())


def test_what_is_a_metric() -> None:
    assert isinstance(MulticlassAccuracy(), Metric)
    assert isinstance(MeanSquaredError(), Metric)
    assert not isinstance(torch.nn.functional.cross_entropy, Metric)
    # The reports' charts and intervals know an accuracy by the end of its name.
    assert MulticlassAccuracy.__name__ == Reference.__name__
    assert MulticlassAccuracy().higher_is_better is True
