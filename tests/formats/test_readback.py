"""Weights that a file may hold in another order, and numbers that it may not change."""

from dataclasses import replace

import numpy as np
import pytest

from edgecompress.formats.readback import Layer, Reals, _compare

RNG = np.random.default_rng(0)
LINEAR = RNG.integers(-63, 64, (16, 48)).astype(np.float64) * 0.01
CONVOLUTION = RNG.integers(-63, 64, (16, 8, 3, 3)).astype(np.float64) * 0.01
BIAS = RNG.standard_normal(16)


def layer(weight: Reals, bias: Reals | None = None) -> Layer:
    return Layer("layer", weight, bias, None if bias is None else np.full(bias.shape, 1e-4))


def flattened(weight: Reals, channels: int) -> Reals:
    """The columns of a linear layer behind a flatten, where the file has channels last."""
    split = weight.reshape(len(weight), channels, -1)
    return split.transpose(0, 2, 1).reshape(weight.shape)


@pytest.mark.parametrize(
    ("trained", "held"),
    [
        (LINEAR, LINEAR),
        (LINEAR, LINEAR.T),
        (LINEAR, flattened(LINEAR, 12)),
        (LINEAR, LINEAR[:, RNG.permutation(48)]),
        (CONVOLUTION, CONVOLUTION.transpose(0, 2, 3, 1)),
        (CONVOLUTION[:, :1], CONVOLUTION[:, :1].transpose(1, 2, 3, 0)),
        (CONVOLUTION[:, :, 0], CONVOLUTION[:, :, :1].transpose(0, 2, 3, 1)),
    ],
)
def test_orders_of_a_layout_are_the_same_numbers(trained: Reals, held: Reals) -> None:
    assert _compare(layer(trained, BIAS), layer(held, BIAS)) == ""


@pytest.mark.parametrize("reordered", [False, True])
@pytest.mark.parametrize("trained", [LINEAR, CONVOLUTION])
def test_one_number_that_is_another_is_found(trained: Reals, reordered: bool) -> None:
    held = trained.copy()
    held[3, 5] += 0.01
    if reordered:
        held = flattened(held, 12) if held.ndim == 2 else held.transpose(0, 2, 3, 1)
    found = _compare(layer(trained), layer(held))
    assert found is not None
    assert "weights are not those that were trained" in found


@pytest.mark.parametrize("factor", [1.001, 1.1, 2.0])
def test_a_scale_is_found(factor: float) -> None:
    found = _compare(layer(CONVOLUTION), layer(CONVOLUTION.transpose(0, 2, 3, 1) * factor))
    assert found is not None
    assert found.endswith("of 1,152 weights are not those that were trained")


def test_a_bias_is_found_from_three_quarters_of_a_step_on() -> None:
    want = layer(LINEAR, BIAS)
    for steps, expected in ((0.74, ""), (0.76, "1 of 16 biases are not those that were trained")):
        moved = BIAS.copy()
        moved[2] += steps * 1e-4
        assert _compare(want, layer(LINEAR, moved)) == expected
    assert _compare(want, layer(LINEAR)) == ""


def test_a_tie_may_be_either_way() -> None:
    slack = np.zeros_like(LINEAR)
    slack[0, 0] = 0.01
    held = LINEAR.copy()
    held[0, 0] += 0.01
    assert _compare(replace(layer(LINEAR), slack=slack), layer(held)) == ""
    assert _compare(layer(LINEAR), layer(held)) != ""


def test_what_has_nothing_in_common_is_not_compared() -> None:
    assert (
        _compare(
            layer(CONVOLUTION),
            layer(RNG.permutation(CONVOLUTION.ravel()).reshape(CONVOLUTION.shape)),
        )
        is None
    )
