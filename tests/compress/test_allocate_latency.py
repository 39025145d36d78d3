"""Channels go where a device is fastest without them, at the least loss."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from prune_checks import context, structured
from torch import nn

from edgecompress.compress.allocate_latency import Asked, Counts, Span
from edgecompress.compress.prune import Pruned, prune
from edgecompress.compress.prune_context import PruneContext
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import StructuredPruneSpec


def net() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Two hidden layers of 64."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 4)), (torch.randn(1, 8),)


class Board:
    """A device on which a hidden unit of either layer takes what it says, in steps of 16."""

    def __init__(self, first: float, second: float, step: int = 16, missed: float = 1.0) -> None:
        self.price = {"0": first, "4": second}
        self.step, self.missed = step, missed
        self.measured = 0
        self.chosen: tuple[float, float, float] | None = None
        self.spans: Mapping[str, Span] = {}
        self.original_ms = 0.0

    def __call__(self, asked: Asked) -> "Board":
        self.spans = asked.spans
        least = {name: (0, asked.least.get_submodule(name).out_features) for name in self.price}
        assert least == {name: (0, self.spans[name].least[1]) for name in self.price}
        self.original_ms = self.predicted_ms({name: s.most for name, s in self.spans.items()})
        return self

    def predicted_ms(self, counts: Counts) -> float:
        return 1.0 + sum(
            price * -(-counts[name][1] // self.step) * self.step
            for name, price in self.price.items()
        )

    def measured_ms(self, model: nn.Module) -> float:
        self.measured += 1
        counts = {name: (0, model.get_submodule(name).out_features) for name in self.price}
        most = {name: span.most for name, span in self.spans.items()}
        whole = self.predicted_ms(most)
        return whole - self.missed * (whole - self.predicted_ms(counts))

    def choose(self, asked: float, predicted_ms: float, measured_ms: float) -> None:
        self.chosen = asked, predicted_ms, measured_ms


def pruned(board: Board, reduction: float, by: PruneContext | None = None) -> Pruned:
    model, inputs = net()
    spec = structured(allocation="latency", latency_reduction=reduction)
    given = by if by is not None else context(inputs)
    return prune(model, spec, 8, with_speed(given, board))


def with_speed(given: PruneContext, board: Board) -> PruneContext:
    return replace(given, speed_of=board, score=lambda _: wanted)


def wanted(model: nn.Module) -> float:
    """How much of both hidden layers is left, which is wanted alike."""
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return float(linear[1].in_features + linear[3].in_features)


def widths(result: Pruned) -> dict[str, int]:
    return {row.name: row.channels_after for row in result.layers}


def test_the_layer_that_takes_longer_loses_more() -> None:
    board = Board(first=0.10, second=0.01)
    after = widths(pruned(board, 2.0))
    assert after["0"] < 48
    assert after["4"] == 64
    assert board.chosen is not None
    asked, predicted_ms, measured_ms = board.chosen
    assert asked == 2.0
    assert predicted_ms == measured_ms <= (1 + 64 * 0.11) / 2


def test_no_channel_goes_without_saving_time() -> None:
    after = widths(pruned(Board(first=0.05, second=0.05, step=16), 1.5))
    assert all(count % 16 == 0 for count in (after["0"], after["4"]))


def test_what_the_prediction_missed_is_made_up_for() -> None:
    board = Board(first=0.05, second=0.05, step=8, missed=0.8)
    pruned(board, 1.5)
    assert board.chosen is not None
    assert board.measured > 1
    assert (1 + 64 * 0.1) / board.chosen[2] >= 1.5


def test_what_cannot_be_is_refused_with_what_can() -> None:
    with pytest.raises(
        ModelError, match=r"latency_reduction 50.* at most \d+\.\d+ with round_to 8"
    ):
        pruned(Board(first=0.05, second=0.05), 50.0)


class Free(Board):
    """Nothing that it predicts takes any time."""

    def predicted_ms(self, counts: Counts) -> float:
        whole = all(counts[name][1] == self.spans[name].most[1] for name in self.price)
        return 7.0 if whole else 0.0

    def measured_ms(self, model: nn.Module) -> float:
        return 4.0


def test_of_a_model_that_seems_to_take_no_time_a_hundredth_is_believed() -> None:
    with pytest.raises(ModelError, match=r"allow at most 100\.00 with"):
        pruned(Free(first=0.05, second=0.05), 101.0)
    assert widths(pruned(Free(first=0.05, second=0.05), 1.5))["0"] < 64


@pytest.mark.parametrize(
    "more",
    [
        {"allocation": "latency"},
        {"allocation": "latency", "latency_reduction": 2.0, "macs_reduction": 2.0},
        {"allocation": "latency", "pruning_ratio": 0.5},
        {"allocation": "uniform", "latency_reduction": 2.0},
    ],
)
def test_a_wish_for_latency_stands_alone(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="latency"):
        StructuredPruneSpec.model_validate(
            {"method": "structured", "importance": "magnitude", "steps": 1, **more}
        )
