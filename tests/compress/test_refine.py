"""Adaptive rounding and corrected biases: what a layer puts out stays nearer to float."""

import pytest
import torch
from quantizing import batch, calibrated
from torch import Tensor, nn
from zoo.catalogue import build, settle

from edgecompress.compress import rounding
from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.quantize import (
    Prepared,
    calibrate,
    captured,
    convert,
    forward,
    prepare_captured,
)
from edgecompress.compress.refine import refine
from edgecompress.compress.side_by_side import Layer, Seen, layers_of, walk
from edgecompress.spec.deploy import QuantizeSpec
from edgecompress.task.base import Batch

ADAPTIVE = QuantizeSpec(mode="ptq", ranges="minmax", calibration_batches=2, rounding="adaptive")
CORRECTED = QuantizeSpec(mode="ptq", ranges="minmax", calibration_batches=2, correct_biases=True)
IMAGE = (torch.zeros(1, 3, 8, 8),)


def convolutions() -> nn.Module:
    """Every kind of layer: with and without batch norm, a clip, groups, a bias."""
    torch.manual_seed(3)
    layers = [
        nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, groups=16), nn.ReLU6(),
        nn.ConvTranspose2d(16, 8, 2, 2, groups=2), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    ]  # fmt: skip
    settle(layers[1])
    return nn.Sequential(*layers).eval()


def images(seed: int, count: int = 32) -> tuple[Tensor, ...]:
    """Smooth and positive, as what layers read is: rounding errors of weights do not cancel."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 2, 2, generator=generator)
    return (nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear"),)


@pytest.fixture(autouse=True)
def _few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "_ITERATIONS", 150)


def data(*seeds: int) -> list[Batch]:
    return [(images(seed), None) for seed in seeds]


def prepared_with(spec: QuantizeSpec, wanted: str = "uint8") -> Prepared:
    prepared = calibrated(convolutions(), IMAGE, wanted, spec=spec)
    calibrate(prepared, data(1, 2))
    torch.manual_seed(0)
    refine(prepared, data(1, 2), spec)
    return prepared


def noise(prepared: Prepared, x: tuple[Tensor, ...]) -> float:
    """Squared error of the outputs against the float model."""
    with torch.no_grad():
        return float((forward(prepared, x) - convolutions()(*x)).square().sum())


NEAREST = QuantizeSpec(mode="ptq", ranges="minmax", calibration_batches=2)


@pytest.mark.parametrize("wanted", ["uint8", "portable", "per tensor"])
def test_adaptive_rounding_leaves_less_error_than_the_nearest_on_other_data(wanted: str) -> None:
    x = images(seed=9)
    assert noise(prepared_with(ADAPTIVE, wanted), x) < 0.9 * noise(
        prepared_with(NEAREST, wanted), x
    )


def test_each_weight_is_rounded_up_or_down_and_zeros_stay() -> None:
    prepared = calibrated(convolutions(), IMAGE, spec=ADAPTIVE)
    layers = layers_of(prepared.graph)
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.weight.flatten()[::3] = 0  # as pruning leaves them
    originals = [layer.weight.clone() for layer in layers]
    refine(prepared, data(1), ADAPTIVE)
    for layer, original in zip(layers, originals, strict=True):
        assert torch.equal(layer.weight, original)
        rounded = layer.fake_quantize(layer.weight)
        limit = layer.fake_quantize.activation_post_process.limit
        scale = layer.fake_quantize.scale
        if len(scale) > 1:
            shape = [1] * original.dim()
            shape[layer.fake_quantize.ch_axis] = -1
            scale = scale.reshape(shape)
        steps = rounded * layer.fake_quantize.factor(original) / scale
        exact = original * layer.fake_quantize.factor(original) / scale
        assert (steps - steps.round()).abs().max() < 1e-3
        assert (steps - exact).abs().max() < 1 + 1e-3
        assert steps.abs().max() <= limit + 1e-3
        assert (rounded[original == 0] == 0).all()
        assert layer.fake_quantize.offset is not None
        assert layer.fake_quantize.offset.any()


def test_what_ships_has_the_integers_that_were_chosen() -> None:
    prepared = prepared_with(ADAPTIVE)
    x = images(seed=4)
    with torch.no_grad():
        expected = forward(prepared, x)
        for integers in (True, False):
            got = convert(prepared, integers=integers).graph(*x)
            apart = (got - expected).abs() > 1e-4 * expected.abs().max()
            assert apart.float().mean() < 0.02
        # The graph in float is the float model still.
        with CalibrationRun(prepared.graph).in_float():
            torch.testing.assert_close(
                forward(prepared, x), convolutions()(*x), rtol=1e-4, atol=1e-4
            )


def test_it_is_found_again_from_its_state() -> None:
    prepared = prepared_with(ADAPTIVE)
    again = prepare_captured(captured(convolutions(), IMAGE, ADAPTIVE), prepared.scheme, "minmax")
    again.graph.load_state_dict(prepared.graph.state_dict())
    CalibrationRun(again.graph).freeze()
    x = images(seed=4)
    with torch.no_grad():
        assert torch.equal(forward(again, x), forward(prepared, x))


def means(prepared: Prepared, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Each layer's mean sums, [C], in float and quantised."""
    found = {}

    def visit(layer: Layer, seen: Seen) -> None:
        given = layer.sums(seen.inputs, layer.fake_quantize(layer.weight))
        found[layer.name] = (_mean(seen.wanted), _mean(given))

    walk(prepared, [images(seed)], visit)
    return found


def _mean(sums: Tensor) -> Tensor:
    return sums.transpose(0, 1).flatten(1).mean(1)


def test_corrected_biases_lower_the_mean_error_of_each_layer_on_other_data() -> None:
    before, after = (means(prepared_with(spec), 9) for spec in (NEAREST, CORRECTED))
    assert len(before) == 4
    for name, (wanted, given) in before.items():
        corrected = after[name][1]
        assert (corrected - wanted).square().sum() < 0.3 * (given - wanted).square().sum()


def test_a_layer_without_a_bias_gets_one_to_correct() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.Flatten(), nn.Linear(288, 4, bias=False)
    )
    prepared = calibrated(model.eval(), IMAGE, spec=CORRECTED)
    refine(prepared, data(1), CORRECTED)
    biases = [layer.own_bias for layer in layers_of(prepared.graph)]
    assert all(bias is not None and bool(bias.any()) for bias in biases)


def test_both_together_and_a_model_that_fixes_its_batch() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(self.conv(x).relu().reshape(1, 144))
            return y

    torch.manual_seed(0)
    model, both = Fixed().eval(), ADAPTIVE.model_copy(update={"correct_biases": True})
    prepared = calibrated(model, IMAGE, spec=both)
    assert not prepared.free_batch
    x = images(seed=5)
    with torch.no_grad():
        wanted = torch.cat([model(x[0][i : i + 1]) for i in range(len(x[0]))])
        before = (forward(prepared, x) - wanted).square().sum()
        refine(prepared, data(1), both)
        after = (forward(prepared, x) - wanted).square().sum()
    assert after < 0.8 * before
    assert len(prepared.notes) == 2


def test_a_batch_of_another_shape_is_left_out() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    both = ADAPTIVE.model_copy(update={"correct_biases": True})
    prepared = calibrated(model, (torch.zeros(6, 1, 8),), spec=both)
    # Steps first, then samples, of which one batch has fewer, whichever comes first.
    batches: list[Batch] = [((torch.randn(6, count, 8),), None) for count in (5, 32, 32)]
    calibrate(prepared, batches)
    refine(prepared, batches, both)
    _, left_out, corrected = prepared.notes
    assert left_out.startswith("1 of 3 calibration batches have another shape")
    assert "2 of 2 layers" in corrected


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet20"])
def test_nothing_asked_changes_nothing(name: str) -> None:
    model, inputs = build(name)
    prepared = calibrated(model, inputs)
    state = {key: value.clone() for key, value in prepared.graph.state_dict().items()}
    refine(prepared, [(batch(inputs, 2, 1), None)], NEAREST)
    assert all(torch.equal(value, state[key]) for key, value in prepared.graph.state_dict().items())
