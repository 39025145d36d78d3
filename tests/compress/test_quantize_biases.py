"""Biases on the grid that a file stores them on."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from quantizing import Built, ZooFiles, batch, calibrated, exported
from torch import nn
from writing import decibels
from zoo.catalogue import build

from edgecompress.compress.biases import snap_biases


def snapped(name: str, folder: Path) -> Built:
    model, inputs = build(name)
    prepared = calibrated(model, inputs)
    snap_biases(prepared)
    return exported(prepared, model, folder)


def share_that_differs(file: Built) -> float:
    """The difference of the outputs, between torch and ONNX's own definition of the file."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        file.artifact.path, options, providers=["CPUExecutionProvider"]
    )
    x = batch(file.example_inputs, 32, seed=3)
    (ours,) = session.run(None, {session.get_inputs()[0].name: x[0].numpy()})
    return float(np.mean(ours != file.torch(x)[0].numpy()))


@pytest.mark.parametrize("name", ["resnet_conv_shortcut", "mobilenet_v2", "uneven_padding"])
def test_the_file_is_what_torch_computes(name: str, zoo_files: ZooFiles, tmp_path: Path) -> None:
    before = share_that_differs(zoo_files(name))
    after = share_that_differs(snapped(name, tmp_path))
    assert after <= before / 4
    assert after < 0.01


def test_a_second_time_nothing_moves() -> None:
    prepared = calibrated(*build("resnet_conv_shortcut"))
    snap_biases(prepared)
    once = {name: value.clone() for name, value in prepared.graph.state_dict().items()}
    snap_biases(prepared)
    for name, value in prepared.graph.state_dict().items():
        torch.testing.assert_close(value, once[name], rtol=1e-6, atol=1e-7)


def test_a_bias_that_two_layers_share_stays() -> None:
    model, inputs = build("shared_bias")
    prepared = calibrated(model, inputs)
    before = {name: value.clone() for name, value in prepared.graph.named_parameters()}
    snap_biases(prepared)
    kept = [name for name, value in prepared.graph.named_parameters() if "bias" in name]
    assert any(torch.equal(before[name], prepared.graph.get_parameter(name)) for name in kept)


@pytest.mark.parametrize("kind", [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d])
@pytest.mark.parametrize("wanted", ["uint8", "per tensor"])
def test_groups_of_a_transposed_convolution_use_the_same_scales(
    kind: type[nn.Module], wanted: str
) -> None:
    torch.manual_seed(0)
    rank = int(kind.__name__[-2])
    model = nn.Sequential(kind(4, 6, 2, 2, groups=2), nn.ReLU(), kind(6, 6, 2, 2, groups=6)).eval()
    prepared = calibrated(model, (torch.randn(1, 4, *[3] * rank),), wanted)
    snap_biases(prepared)
    before, after = (
        [p for name, p in module.named_parameters() if name.endswith("bias")]
        for module in (model, prepared.graph)
    )
    assert len(after) == 2
    assert all((b - a).abs().max() < 0.05 for b, a in zip(before, after, strict=True))


def test_the_bias_of_a_channel_that_is_nearly_dead(tmp_path: Path) -> None:
    """In the scale that its weights alone would have, it is beyond int32."""
    model, inputs = build("nearly_dead")
    prepared = calibrated(model, inputs)
    snap_biases(prepared)
    file = exported(prepared, model, tmp_path)
    assert file.steps_apart(inputs) < 1.5
    with torch.no_grad():
        (snr,) = decibels([model(*inputs)], [torch.as_tensor(x) for x in file.run(inputs)])
    assert snr > 30
