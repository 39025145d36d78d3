"""Detection: which boxes stay, how many objects are found, and targets that are wrong."""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from boxes import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from looking import look
from torch import Tensor, nn

from edgecompress.errors import TaskError
from edgecompress.task import (
    Batch,
    DetectionTask,
    MeanAveragePrecision,
    MulticlassAccuracy,
    NonMaximumSuppression,
)
from edgecompress.task.load import original_model
from edgecompress.task.suppression import overlaps, survivors

Objects = dict[str, Tensor]
RIGHT = [
    {"boxes": torch.tensor([[1.0, 2, 5, 7], [0, 0, 3, 3]]), "labels": torch.tensor([0, 1])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places, self.scores = nn.Linear(3, 12), nn.Linear(3, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.places(x).reshape(-1, 3, 4), self.scores(x).reshape(-1, 3, 2).sigmoid()


class Detecting(DetectionTask):
    classes = 2
    target: Any = RIGHT

    def model(self) -> nn.Module:
        return Net()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3),)

    def train_data(self) -> Iterable[Batch]:
        yield torch.ones(2, 3), self.target

    eval_data = train_data

    def loss(self, outputs: Any, target: Any) -> Tensor:
        return outputs[0].square().mean() + outputs[1].mean()

    def metric(self) -> Any:
        return Counted()


class Counted(MulticlassAccuracy):
    """Needs no package, and looks at what it is given."""

    def update(self, found: Any, target: Any) -> None:
        assert len(found) == len(target)
        super().update(torch.zeros(len(found), 2), torch.zeros(len(found)))


def test_right_data_passes() -> None:
    look(Detecting())


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (torch.zeros(2, 4), "targets are not a list but float32 [2, 4]; give a list with {'boxes'"),
        (RIGHT[:1], "a batch of 2 samples has 1 targets; give a list with"),
        ([*RIGHT[:1], {"box": 1}], "target 1: it is a dict of box; give a list with {'boxes'"),
        (
            [{**RIGHT[0], "boxes": torch.zeros(2, 5)}, RIGHT[1]],
            "target 0: boxes must be floats of shape [n, 4], got float32 [2, 5]",
        ),
        (
            [{**RIGHT[0], "labels": torch.tensor([0])}, RIGHT[1]],
            "target 0: 2 boxes have 1 labels",
        ),
        (
            [{**RIGHT[0], "labels": torch.tensor([0, 2])}, RIGHT[1]],
            "target 0: label 2 is out of range; with classes = 2 labels are 0 to 1",
        ),
        (
            [{**RIGHT[0], "boxes": torch.tensor([[1.0, 2, 5, 7], [4, 4, 3, 3]])}, RIGHT[1]],
            "target 0: box [4.0, 4.0, 3.0, 3.0] ends before it begins; boxes are x1, y1, x2, y2",
        ),
    ],
)
def test_a_wrong_target_is_named(target: Any, line: str) -> None:
    task = Detecting()
    task.target = target
    with pytest.raises(TaskError) as caught:
        look(task)
    assert str(caught.value).startswith(f"Detecting.train_data() batch 0: {line}")


def test_outputs_that_nothing_decodes_are_named() -> None:
    task = Detecting()
    task.model = lambda: nn.Linear(3, 8)  # type: ignore[method-assign]
    with pytest.raises(TaskError, match=r"boxes \[N, M, 4\] and scores \[N, M, 2\], or what Non"):
        original_model(task)


@pytest.mark.parametrize(
    ("decoded", "line"),
    [
        ([], "decode() must give a list with one entry for each picture, not list"),
        ([torch.zeros(3, 6)], "decode() must give (boxes, scores, labels) of each picture"),
        (
            [(torch.zeros(2, 4), torch.zeros(2), torch.zeros(2))],
            "what decode() gives is wrong: lab",
        ),
    ],
)
def test_a_wrong_decoding_is_named(decoded: Any, line: str) -> None:
    class Own(Detecting):
        def decode(self, outputs: Any) -> Any:
            return decoded

    with pytest.raises(TaskError) as caught:
        original_model(Own())
    assert line in str(caught.value)


def test_of_boxes_that_overlap_the_best_stays() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 4], [8, 8, 9, 9]])
    scores, labels = torch.tensor([0.5, 0.9, 0.8, 0.1]), torch.tensor([0, 0, 1, 0])
    assert overlaps(boxes)[0].tolist() == [1, 0.75, 1, 0]
    assert survivors(boxes, scores, labels, 0.5).tolist() == [1, 2, 3]
    assert survivors(boxes, scores, labels, 0.8).tolist() == [1, 2, 0, 3]
    assert survivors(boxes[:0], scores[:0], labels[:0], 0.5).tolist() == []


class Suppressing(Detecting):
    def decoder(self) -> nn.Module:
        class Suppress(nn.Module):
            def forward(self, outputs: Any) -> Any:
                return NonMaximumSuppression(count=50)(*outputs)

        return Suppress()


def test_what_a_decoder_suppressed_is_taken_as_it_is() -> None:
    original_model(Suppressing())
    outputs = scenes(6, 12, 2, seed=0)
    suppressed = Suppressing().decoder()(outputs)
    assert (suppressed[1] == 0).any()
    pairs = zip(Detecting().decode(outputs), Suppressing().decode(suppressed), strict=True)
    for plain, found in pairs:
        for one, other in zip(plain, found, strict=True):
            assert torch.equal(one, other)
    # What is left over, with a score of 0, is no answer even where all others are.
    task = Suppressing()
    task.score_threshold = -1.0
    assert all(len(sure) and float(sure.min()) > 0 for _, sure, _ in task.decode(suppressed))


def test_the_teacher_counts_where_it_is_sure() -> None:
    task = Detecting()
    boxes, scores = torch.rand(2, 3, 4), torch.zeros(2, 3, 2)
    scores[:, 0] = 0.9
    elsewhere, there = boxes.clone(), boxes.clone()
    elsewhere[:, 1:] += 1
    there[:, :1] += 1
    losses = [
        float(task.distillation_loss((each, scores), (boxes, scores), 1.0))
        for each in (boxes, elsewhere, there)
    ]
    assert losses[:2] == [0.0, 0.0]
    assert losses[2] > 0.1


# The metric


def reference(found: list[Any], target: list[Objects]) -> float:
    """COCO's definition, read word by word: 101 points of recall, ten overlaps, all classes."""
    classes = sorted({int(label) for each in target for label in each["labels"]})
    values = []
    for label in classes:
        for limit in np.linspace(0.5, 0.95, 10):
            values.append(_area(found, target, label, limit))
    return float(np.mean(values))


def _area(found: list[Any], target: list[Objects], label: int, limit: float) -> float:
    rows, wanted = [], 0
    for (boxes, scores, labels), truth in zip(found, target, strict=True):
        objects = truth["boxes"][truth["labels"] == label]
        wanted += len(objects)
        taken: set[int] = set()
        mine = [i for i in scores.argsort(descending=True).tolist() if labels[i] == label]
        for i in mine:
            near = overlaps(torch.cat([boxes[i : i + 1], objects]))[0, 1:].double()
            free = [j for j in range(len(objects)) if j not in taken and near[j] >= limit]
            best = max(free, key=lambda j: float(near[j]), default=None)
            taken |= set() if best is None else {best}
            rows.append((float(scores[i]), best is not None))
    rows.sort(key=lambda row: -row[0])
    right = np.cumsum([is_right for _, is_right in rows])
    recall, precision = right / wanted, right / np.arange(1, len(rows) + 1)
    points = np.arange(101) / 100
    return float(
        np.mean([max(precision[recall >= point - 1e-12], default=0.0) for point in points])
    )


def _picture(random: torch.Generator) -> tuple[Any, Objects]:
    many = int(torch.randint(0, 4, (), generator=random))
    corners = torch.randint(0, 12, (many, 2), generator=random).float()
    boxes = torch.cat([corners, corners + 4 + 8 * torch.rand(many, 2, generator=random)], 1)
    labels = torch.randint(2, (many,), generator=random)
    moved = boxes + torch.rand(many, 4, generator=random)
    extra = torch.tensor([[1.0, 1, 9, 9]])
    found = torch.cat([moved, extra])
    scores = torch.rand(many + 1, generator=random)
    return (found, scores, torch.cat([labels, labels.new_zeros(1)])), {
        "boxes": boxes,
        "labels": labels,
    }


@settings(deadline=None, max_examples=25)
@given(pictures=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_it_is_cocos_definition(pictures: int, seed: int) -> None:
    pytest.importorskip("faster_coco_eval")
    random = torch.Generator().manual_seed(seed)
    pairs = [_picture(random) for _ in range(pictures)]
    found, target = [list(each) for each in zip(*pairs, strict=True)]
    metric = MeanAveragePrecision()
    for one in pairs:
        metric.update([one[0]], [one[1]])
    if not any(len(each["labels"]) for each in target):
        assert np.isnan(metric.compute())
        return
    assert metric.compute() == pytest.approx(reference(found, target), abs=1e-6)
    assert metric.compute() == metric.compute()


def test_nothing_found_is_nothing() -> None:
    pytest.importorskip("faster_coco_eval")
    metric = MeanAveragePrecision()
    empty = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    metric.update([empty, empty], RIGHT)
    assert metric.compute() == 0.0


def test_without_the_package_one_line_says_what_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(TaskError) as caught:
        DetectionTask.metric(Detecting())
    assert str(caught.value).endswith("run: pip install 'edgecompress[detection]'")
    assert "\n" not in str(caught.value)
