"""Weights and ranges of one prepared graph in another that quantises less."""

import pytest
import torch
from quantizing import batch, scheme
from torch import Tensor
from zoo.catalogue import build

from edgecompress.compress.biases import snap_biases
from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.carry import carry_ranges, carry_weights
from edgecompress.compress.quantize import (
    Prepared,
    calibrate,
    captured,
    forward,
    prepare_captured,
)
from edgecompress.compress.units import units_of


def outputs(prepared: Prepared, x: tuple[Tensor, ...]) -> Tensor:
    CalibrationRun(prepared.graph).freeze()
    with torch.no_grad():
        found: Tensor = forward(prepared, x)
    return found


@pytest.mark.parametrize("name", ["mobilenet_v2", "residual", "multi_head_attention"])
def test_carried_ranges_are_those_of_a_calibration(name: str) -> None:
    model, inputs = build(name)
    traced, x = captured(model, inputs), batch(inputs, 4, seed=9)
    data = [(batch(inputs, 4, seed), None) for seed in range(3)]
    everything = prepare_captured(traced, scheme("uint8"), "minmax")
    calibrate(everything, data)
    kept = units_of(everything.graph)[1].name
    wanted = prepare_captured(traced, scheme("uint8"), "minmax", (kept,))
    calibrate(wanted, data)
    carried = prepare_captured(traced, scheme("uint8"), "minmax", (kept,))
    assert carry_ranges(everything, carried)
    assert torch.equal(outputs(carried, x), outputs(wanted, x))


def test_what_no_longer_shares_a_scale_is_not_carried() -> None:
    model, inputs = build("residual")
    traced = captured(model, inputs)
    everything = prepare_captured(traced, scheme("portable"), "minmax")
    calibrate(everything, [(batch(inputs, 4, 1), None)])
    names = [unit.name for unit in units_of(everything.graph) if unit.kind == "add"]
    alone = prepare_captured(traced, scheme("portable"), "minmax", tuple(names))
    assert not carry_ranges(everything, alone)


def test_trained_weights_come_along() -> None:
    """As after fine-tuning: batch norms with other statistics, weights that moved."""
    model, inputs = build("mobilenet_v2")
    traced, x = captured(model, inputs), batch(inputs, 4, seed=9)
    trained = prepare_captured(traced, scheme("uint8"), "minmax")
    calibrate(trained, [(x, None)])
    with torch.no_grad():
        for value in trained.graph.parameters():
            value.mul_(1.1)
    snap_biases(trained)
    other = prepare_captured(traced, scheme("uint8"), "minmax")
    carry_weights(trained, other)
    assert carry_ranges(trained, other)
    assert torch.equal(outputs(other, x), outputs(trained, x))
