"""What each phase lets a fake-quantize module do, and when its scale is asked for."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgecompress.compress.calibration import CalibrationRun, float_copy, share_run
from edgecompress.compress.fake_quantize import AdjustedFakeQuantize, observers_of
from edgecompress.compress.observers import RangeChoice, RangeObserver

SMALL, LARGE = torch.tensor([-0.5, 0.26, 1.0]), torch.tensor([-0.5, 0.26, 3.0])


def fake(*, weights: bool = False) -> AdjustedFakeQuantize:
    return AdjustedFakeQuantize(
        observer=RangeObserver,
        quant_min=-128 if weights else 0,
        quant_max=127 if weights else 255,
        dtype=torch.int8 if weights else torch.uint8,
        qscheme=torch.per_tensor_symmetric if weights else torch.per_tensor_affine,
        choice=RangeChoice(current=weights),
    )


class Asked:
    """Leaves a scale as it is, and counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, scale: Tensor) -> Tensor:
        self.times += 1
        return scale


class Graph(nn.Module):
    """An activation of two tensors that share a scale, and a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.activation, self.weight = fake(), fake(weights=True)
        self.activation.adjust = self.asked = Asked()

    def forward(self, first: Tensor, second: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        return self.activation(first), self.activation(second), self.weight(weight)


@pytest.fixture
def graph() -> Graph:
    found = Graph()
    share_run(found)
    assert observers_of(found) == [found.activation, found.weight]
    return found


def top(module: AdjustedFakeQuantize) -> float:
    return float(module.activation_post_process.max_val)


def quantised(values: Tensor, seen: Tensor) -> bool:
    return not torch.equal(values, seen)


def test_calibration_observes_and_asks_for_no_scale_before_its_end(graph: Graph) -> None:
    with CalibrationRun(graph).observing():
        for _ in range(2):
            first, second, _ = graph(SMALL, LARGE, SMALL)
            assert torch.equal(first, SMALL)
            assert torch.equal(second, LARGE)
        assert graph.asked.times == 0
        assert top(graph.activation) == float("-inf")  # nor is a range chosen
    assert graph.asked.times == 1
    assert top(graph.activation) == 3.0
    torch.testing.assert_close(graph.activation.scale, torch.tensor([3.5 / 255]))
    assert int(graph.activation.zero_point) == round(0.5 / 3.5 * 255)


def calibrated(graph: Graph) -> CalibrationRun:
    run = CalibrationRun(graph)
    with run.observing():
        graph(SMALL, LARGE, SMALL)
    return run


def test_frozen_ranges_stay_and_weights_follow_themselves(graph: Graph) -> None:
    calibrated(graph)
    for factor in (2.0, 0.5):
        first, _, weight = graph(SMALL, factor * LARGE, factor * SMALL)
        assert top(graph.activation) == 3.0
        assert quantised(first, SMALL)
        assert top(graph.weight) == factor
        torch.testing.assert_close(graph.weight.scale, torch.tensor([factor / 127]))
        assert quantised(weight, factor * SMALL)


def test_in_float_nothing_is_quantised_or_seen(graph: Graph) -> None:
    run = calibrated(graph)
    scale = graph.activation.scale.clone()
    with run.in_float():
        first, second, weight = graph(9 * SMALL, SMALL, SMALL)
    assert torch.equal(first, 9 * SMALL)
    assert torch.equal(second, SMALL)
    assert torch.equal(weight, SMALL)
    assert torch.equal(graph.activation.scale, scale)


def test_a_copy_has_a_run_of_its_own(graph: Graph) -> None:
    calibrated(graph)
    copied = float_copy(graph)
    assert torch.equal(copied(SMALL, LARGE, SMALL)[0], SMALL)
    assert quantised(graph(SMALL, LARGE, SMALL)[0], SMALL)
    runs = {id(each.activation_post_process.run) for each in observers_of(graph)}
    others = {id(each.activation_post_process.run) for each in observers_of(copied)}
    assert len(runs) == len(others) == 1
    assert runs != others


def test_training_follows_each_run_as_one(graph: Graph) -> None:
    phases = calibrated(graph)
    phases.follow()
    for run in (1, 2):
        first, *_ = graph(SMALL, 11 * LARGE, SMALL)
        assert quantised(first, SMALL)
        # By a hundredth of the way to 33 a run, not two of them for its two tensors.
        wanted = 33 - 30 * 0.99**run
        assert top(graph.activation) == pytest.approx(wanted, rel=1e-4)
    phases.freeze()
    graph(SMALL, 50 * LARGE, SMALL)
    assert top(graph.activation) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("phase", ["train", "frozen"])
def test_a_scale_is_what_somebody_chooses(graph: Graph, phase: Any) -> None:
    run = calibrated(graph)
    graph.activation.adjust = lambda scale: 2 * scale
    run.follow() if phase == "train" else run.freeze()
    graph(SMALL, LARGE, SMALL)
    torch.testing.assert_close(graph.activation.scale, torch.tensor([2 * 3.5 / 255]))
