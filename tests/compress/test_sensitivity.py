"""What each operator costs when it is quantised: the figures, their order, and operators' names."""

import math
from collections.abc import Callable

import pytest
import torch
from quantizing import batch, calibrated
from torch import Tensor, nn
from zoo.catalogue import EVERYTHING, build

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.quantize import Prepared, forward
from edgecompress.compress.sensitivity import measure_noise
from edgecompress.compress.units import units_of
from edgecompress.errors import ModelError
from edgecompress.spec.report import OperatorNoise, QuantizationNoise


def measured(model: nn.Module, inputs: tuple[Tensor, ...]) -> QuantizationNoise:
    return measure_noise(calibrated(model, inputs), [(batch(inputs, 8, seed=9), None)])


def by_name(noise: QuantizationNoise) -> dict[str, OperatorNoise]:
    return {row.name: row for row in noise.operators}


def sqnr(original: Tensor, other: Tensor) -> float:
    noise = float((other.double() - original.double()).square().sum())
    return 10 * math.log10(float(original.double().square().sum()) / noise)


def outputs(prepared: Prepared, x: tuple[Tensor, ...], on: Callable[[str], bool]) -> Tensor:
    """What the graph puts out in which the fake-quantizes of those names quantise."""
    with torch.no_grad(), CalibrationRun(prepared.graph).in_float():
        for name, module in prepared.graph.named_modules(remove_duplicate=False):
            if module in observers_of(prepared.graph):
                module.enable_fake_quant(on(name))
        found: Tensor = forward(prepared, x)
    return found


class Rough(nn.Module):
    """`rough` loses nearly all of its weights when quantised: one column is far too large."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.rough, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        with torch.no_grad():
            self.rough.weight[:, 0] = 1e4
            self.fine.weight[0] = 0
            self.fine.bias[0] = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.rough(self.fine(x)))  # type: ignore[no-any-return]


def test_the_operator_that_costs_most_comes_first() -> None:
    torch.manual_seed(0)
    found = measured(Rough(), (torch.randn(1, 8),))
    assert next(row.name for row in found.operators) == "rough"
    rough, fine = by_name(found)["rough"], by_name(found)["fine"]
    assert rough.alone_db is not None
    assert fine.alone_db is not None
    assert rough.alone_db < fine.alone_db - 10


def test_figures_are_those_of_the_graph_itself() -> None:
    """Alone and accumulated, against runs of the graph with its fake-quantizes switched by hand."""
    model, inputs = build("linear_stack")
    prepared, x = calibrated(model, inputs), batch(inputs, 8, seed=9)
    found = measure_noise(prepared, [(x, None)])
    original = outputs(prepared, x, lambda _: False)
    everything = outputs(prepared, x, lambda _: True)
    assert found.outputs_db == pytest.approx(sqnr(original, everything), abs=1e-3)
    last = units_of(prepared.graph)[-1]
    around = [*last.nodes[0].all_input_nodes, *last.last.users]
    alone = outputs(prepared, x, {str(node.target) for node in around}.__contains__)
    row = by_name(found)[last.name]
    assert row.alone_db == pytest.approx(sqnr(original, alone), abs=1e-3)
    assert row.accumulated_db == pytest.approx(found.outputs_db, abs=1e-3)


def test_it_leaves_the_graph_quantising_as_it_was() -> None:
    model, inputs = build("residual")
    prepared, x = calibrated(model, inputs), batch(inputs, 8, seed=9)
    with torch.no_grad():
        before = forward(prepared, x)
        first = measure_noise(prepared, [(x, None)])
        assert torch.equal(forward(prepared, x), before)
    assert measure_noise(prepared, [(x, None)]) == first


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("residual", {"conv2d", "add", "mean", "linear"}),
        ("unet", {"conv2d", "cat"}),
        ("multi_head_attention", {"linear", "matmul"}),
        ("max_pool", {"conv2d", "max_pool2d"}),
        ("silu", {"sigmoid", "mul"}),
        ("in_place", {"conv2d"}),
        ("fixed_batch", {"linear"}),
        ("several_outputs", {"conv2d"}),
    ],
)
def test_every_kind_of_operator_has_its_figures(name: str, kinds: set[str]) -> None:
    found = measured(*build(name))
    assert kinds <= {row.kind for row in found.operators}
    for row in found.operators:
        assert row.local_db is not None
        assert 10 < row.local_db < 120
        assert row.alone_db is not None
        assert row.alone_db > 10
    assert len({row.name for row in found.operators}) == len(found.operators)


def test_what_only_moves_data_is_no_operator() -> None:
    kinds = {row.kind for row in measured(*build("text")).operators}
    assert not kinds & {"view", "reshape", "transpose", "permute", "slice", "unsqueeze"}


def test_a_mask_is_no_signal() -> None:
    """-inf in the original, times nothing, is not a number; the figures still are."""
    found = measured(*build("masked_attention"))
    assert found.outputs_db is not None
    assert 10 < found.outputs_db < 120


def test_an_original_that_is_zero_or_not_finite_has_no_ratio() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.zero, self.large, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            with torch.no_grad():
                for parameter in self.zero.parameters():
                    parameter.zero_()
                self.large.weight.fill_(3e38)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return self.zero(x), self.large(x * 4), self.head(x)

    torch.manual_seed(0)
    found = by_name(measured(Odd(), (torch.randn(1, 4),)))
    assert found["zero"].local_db is None
    assert found["head"].local_db is not None
    assert all(row.alone_db is None or abs(row.alone_db) <= 150 for row in found.values())


@pytest.mark.parametrize("name", sorted(EVERYTHING)[::6])
def test_names_stay_when_other_operators_are_kept(name: str) -> None:
    """What a report calls an operator, keep_float takes; and the others are called as before."""
    model, inputs = build(name)
    before = [unit.name for unit in units_of(calibrated(model, inputs).graph)]
    if len(before) < 2:
        return
    kept = before[len(before) // 2]
    after = [unit.name for unit in units_of(calibrated(model, inputs, keep_float=(kept,)).graph)]
    assert kept not in after
    assert set(after) < set(before)


def test_an_operator_that_is_none_is_refused() -> None:
    model, inputs = build("residual")
    with pytest.raises(ModelError, match=r"keep_float: ':mul' is no operator .* known: :add"):
        calibrated(model, inputs, keep_float=(":mul",))
