"""What two real files look at, all together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_files
import pytest
import torch
from onnx import helper
from torch import Tensor, nn
from torchmetrics.regression import MeanAbsoluteError

from edgecompress.measure.evaluate import Runs, recorded
from edgecompress.measure.looks import Pair, look
from edgecompress.measure.observed import Side
from edgecompress.task import ClassificationTask, Task
from edgecompress.task.guard import guard


class Quarters(ClassificationTask):
    """Which quarter of an 8x8 image is bright."""

    classes = 4

    def model(self) -> nn.Module:
        return nn.Identity()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 1, 8, 8),)

    def train_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.eval_data()

    def eval_data(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(120) % 4
        images = 0.2 * torch.rand(120, 1, 8, 8, generator=generator)
        for index, label in enumerate(labels.tolist()):
            row, column = 4 * (label // 2), 4 * (label % 2)
            images[index, :, row : row + 4, column : column + 4] += 0.8
            # A mark in the first row, which tells as much.
            images[index, 0, 0, label] = 3.0
        for start in range(0, 120, 40):
            yield images[start : start + 40], labels[start : start + 40]


def by_quarters() -> Tensor:
    weight = torch.zeros(8, 8, 4)
    for label in range(4):
        weight[4 * (label // 2) :, 4 * (label % 2) :, label][:4, :4] = 1
    weight[0] = 0
    return weight.reshape(64, 4)


def by_marks() -> Tensor:
    weight = torch.zeros(8, 8, 4)
    weight[0, :4] = 4 * torch.eye(4)
    return weight.reshape(64, 4)


@pytest.fixture
def sides(agent, tmp_path: Path):
    """sides(weight): a real file with these weights, evaluated."""
    task = Quarters()
    guard(task)

    def side(name: str, weight: Tensor) -> Side:
        path = tmp_path / f"{name}.onnx"
        onnx_files.save(
            path,
            [
                helper.make_node("Flatten", ["x"], ["flat"]),
                helper.make_node("MatMul", ["flat", "w"], ["y"]),
            ],
            [onnx_files.value("x", onnx_files.FLOAT, ["n", 1, 8, 8])],
            [onnx_files.value("y", onnx_files.FLOAT, ["n", 4])],
            {"w": weight.numpy()},
        )
        runs = Runs(agent, onnx_files.loaded(path), tmp_path)

        def rebuild(tensors: list[Tensor]) -> Tensor:
            return tensors[0]

        return Side(runs, recorded(runs, task, lambda _: None, rebuild)[1], rebuild)

    return task, side


class Sums(Task):
    """Two inputs, of which the first is a table; two outputs, without classes."""

    def model(self) -> nn.Module:
        return nn.Identity()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, 3), torch.zeros(1, 3, 2))

    def train_data(self) -> Iterator[Any]:
        return self.eval_data()

    def eval_data(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(4):
            a = torch.randn(25, 3, generator=generator)
            b = torch.randn(25, 3, 2, generator=generator)
            yield (a, b), (a[:, :, None] + b, 2 * a)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        return outputs[0].mean()

    def metric(self) -> Any:
        return MeanAbsoluteError()

    def update(self, metric: Any, outputs: Any, target: Any) -> None:
        for output, wanted in zip(outputs, target, strict=True):
            metric.update(output, wanted)


def test_several_inputs_and_outputs_without_classes(agent, tmp_path: Path) -> None:
    task = Sums()
    guard(task)
    path = tmp_path / "two.onnx"
    onnx_files.two_by_two(path, "batch")
    runs = Runs(agent, onnx_files.loaded(path), tmp_path)
    record = recorded(runs, task, lambda _: None, tuple)[1]
    side = Side(runs, record, tuple)
    found = look(task, Pair(side, side), spoils=True)
    assert found.calibration is None
    assert found.agreement == 1.0
    assert [part.name for part in found.parts] == ["column 0", "column 1", "column 2"]
    assert all(part.before == part.after > 0.2 for part in found.parts)
    assert [shift.bias for shift in found.shifts] == [0.0] * 9
    assert [row.name for row in found.robustness] == ["noise"]
    assert {row.name for row in found.slices} >= {"column 0 low", "column 2 high"}
    assert found.exemplars == ()
    assert found.occlusions[0].shown is not None
    assert len(found.occlusions[0].shown.curve or ()) == 3


def test_who_looks_elsewhere_is_found_though_every_answer_is_the_same(sides) -> None:
    task, side = sides
    original, alike = side("original", by_quarters()), side("alike", 1.01 * by_quarters())
    other = side("other", by_marks())
    assert original.record.value == other.record.value == 1.0
    same = look(task, Pair(original, alike, ("nw", "ne", "sw", "se")), spoils=True)
    assert same.agreement is not None
    assert same.agreement > 0.99
    assert same.inferences > 0
    assert {row.name for row in same.robustness} == {"noise", "blur", "dark", "bright"}
    assert all(row.before == row.after for row in same.robustness)
    assert same.occlusions[0].label == "nw"
    found = look(task, Pair(original, other), spoils=False)
    assert found.agreement is not None
    assert found.agreement < 0.5
    assert found.robustness == ()
    assert len(found.exemplars) == 6
    assert found.exemplars[0].shown is not None
    # A quarter that is bright on the right counts there.
    for row in found.occlusions:
        column = int(np.abs(np.array(row.before)).sum(axis=0).argmax())
        assert column >= 2 if int(row.label) % 2 else column <= 2
