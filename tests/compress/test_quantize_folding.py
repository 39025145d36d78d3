"""Batch norm: what is trained is what ships."""

import pytest
import torch
from quantizing import batch, calibrated
from torch import Tensor, nn
from writing import decibels
from zoo.catalogue import settle

from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.folding import BatchNorm, FoldingFakeQuantize, freeze_statistics
from edgecompress.compress.quantize import convert, forward

IMAGE = (torch.zeros(1, 3, 8, 8),)
CASES: dict[str, tuple[list[nn.Module], tuple[Tensor, ...]]] = {
    "conv": ([nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)], IMAGE),
    "bias": ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()], IMAGE),
    "eps": ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU6()], IMAGE),
    "no affine": ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False)], IMAGE),
    "depthwise": ([nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)], IMAGE),
    "transposed": ([nn.ConvTranspose2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()], IMAGE),
    "grouped transposed": (
        [nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 8, 3, groups=4), nn.BatchNorm2d(8)],
        IMAGE,
    ),
    "1-D": ([nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8)], (torch.zeros(1, 4, 16),)),
    "1-D transposed": (
        [nn.ConvTranspose1d(4, 8, 3), nn.BatchNorm1d(8)],
        (torch.zeros(1, 4, 16),),
    ),
    "linear": ([nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()], (torch.zeros(1, 6),)),
    "momentum": ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None)], IMAGE),
    "instance norm": (
        [nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True, track_running_stats=True)],
        IMAGE,
    ),
    "first": ([nn.BatchNorm2d(3, eps=1e-3), nn.Conv2d(3, 8, 3)], IMAGE),
}


def model_of(case: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(1)
    layers, inputs = CASES[case]
    model = nn.Sequential(*layers)
    for layer in layers:
        layer.reset_parameters() if hasattr(layer, "reset_parameters") else None
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.affine:
            settle(layer)
    return model.eval(), inputs


@pytest.mark.parametrize("wanted", ["uint8", "per tensor", "powers of two"])
@pytest.mark.parametrize("case", list(CASES))
def test_prepared_equals_converted(case: str, wanted: str) -> None:
    model, inputs = model_of(case)
    prepared = calibrated(model, inputs, wanted)
    converted = convert(prepared)
    x = batch(inputs, 3, seed=5)
    with torch.no_grad():
        ours, theirs = forward(prepared, x), converted.graph(*x)
    scale, _ = _last_scale(prepared.graph)
    # One rounding may go the other way where a product lies between two integers.
    assert (ours - theirs).abs().max() <= scale * 1.01
    assert ((ours - theirs).abs() > scale / 2).float().mean() < 0.02
    assert not any(isinstance(m, BatchNorm) for m in converted.graph.modules())


def _last_scale(graph: nn.Module) -> tuple[float, int]:
    activations = [m for m in observers_of(graph) if not isinstance(m, FoldingFakeQuantize)]
    scale, zero_point = activations[-1].activation_post_process.calculate_qparams()
    return float(scale), int(zero_point)


@pytest.mark.parametrize("case", list(CASES))
def test_float_function_is_kept(case: str) -> None:
    model, inputs = model_of(case)
    prepared = calibrated(model, inputs)
    x = batch(inputs, 3, seed=5)
    with torch.no_grad(), CalibrationRun(prepared.graph).in_float():
        torch.testing.assert_close(forward(prepared, x), model(*x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gamma", [[0.0] * 8, [-1.0, 0.0, 1e-9, 2.0, -3.0, 0.5, 1.0, -1e-9]])
def test_gains_of_zero_and_below(gamma: list[float]) -> None:
    model, inputs = model_of("bias")
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor(gamma))  # type: ignore[union-attr]
    prepared = calibrated(model, inputs)
    converted = convert(prepared)
    x = batch(inputs, 3, seed=5)
    with torch.no_grad():
        ours, theirs, original = forward(prepared, x), converted.graph(*x), model(*x)
    scale, _ = _last_scale(prepared.graph)
    assert theirs.isfinite().all()
    assert (ours - theirs).abs().max() <= scale * 1.01
    assert (original - theirs).abs().max() <= 4 * scale + 0.05 * original.abs().max()


def test_folding_leaves_the_prepared_graph_trainable() -> None:
    model, inputs = model_of("eps")
    prepared = calibrated(model, inputs)
    before = {name: value.clone() for name, value in prepared.graph.state_dict().items()}
    convert(prepared)
    after = prepared.graph.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert any(isinstance(m, BatchNorm) for m in prepared.graph.modules())


def test_weights_shared_by_two_batch_norms_are_folded_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
            self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.conv(self.one(self.conv(x)).relu()))

    torch.manual_seed(0)
    model = Twice()
    settle(model)
    model.eval()
    prepared = calibrated(model, IMAGE)
    converted = convert(prepared)
    x = batch(IMAGE, 3, seed=5)
    with torch.no_grad():
        ours, theirs, original = forward(prepared, x), converted.graph(*x), model(*x)
    scale, _ = _last_scale(prepared.graph)
    assert (ours - theirs).abs().max() <= scale * 1.01
    assert (original - theirs).abs().max() <= 0.1 * original.abs().max()


def test_frozen_statistics_stay() -> None:
    model, inputs = model_of("eps")
    prepared = calibrated(model, inputs)
    (norm,) = (m for m in prepared.graph.modules() if isinstance(m, BatchNorm))
    norm.training = True
    forward(prepared, batch(inputs, 3, seed=1))
    moved = norm.running_mean.clone()
    freeze_statistics(prepared.graph)
    forward(prepared, batch(inputs, 3, seed=2))
    assert torch.equal(norm.running_mean, moved)
    assert not torch.equal(moved, model[1].running_mean)  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize("kind", ["convolution", "linear"])
def test_a_batch_norm_without_statistics_stays_in_float(kind: str) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = (
        [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)]
        if kind == "convolution"
        else [nn.Linear(8, 8), nn.BatchNorm1d(8, track_running_stats=False)]
    )
    model = nn.Sequential(*layers, nn.ReLU(), nn.Flatten())
    inputs = IMAGE if kind == "convolution" else (torch.zeros(4, 8),)
    x = batch(inputs, 4, seed=0)  # One of those that `calibrated` sees: nothing is clipped.
    converted = convert(calibrated(model.eval(), inputs)).graph
    assert sum("no_stats" in str(node.target) for node in converted.graph.nodes) == 1
    with torch.no_grad():
        (snr,) = decibels([model(*x)], [converted(*x)])
    assert snr > 25
