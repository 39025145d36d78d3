"""`compare` on the files of one training, for several runtimes: who is whose counterpart."""

from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from quantizing import calibrated
from torch import Tensor, nn

pytest.importorskip("litert_torch", reason="needs litert-torch: pip install '.[litert]'")

from edgecompress.compress.biases import snap_biases
from edgecompress.compress.quantize import Prepared, convert
from edgecompress.errors import ArtifactError
from edgecompress.formats.exportable import Exportable
from edgecompress.pipeline.layers import compare_layers
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target

FOR = {
    "onnx": "local-onnxruntime",
    "tflite": "local-litert",
    "openvino": "local-openvino",
    "tensorrt": "jetson-orin-nano",
}
FUSED = {"b.conv2", "a.conv2"}
"""Layers that TensorRT adds before it rounds them, so that its file stores no result of theirs."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + x)


class Net(nn.Module):
    """Two blocks, whose five tensors on the residual way have one scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a, self.b = Block(), Block()
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.b(self.a(torch.relu(self.stem(x))))
        return self.fc(features.mean((2, 3)))  # type: ignore[no-any-return]


def write(prepared: Prepared, target_name: str, folder: Path) -> Path:
    target = load_target(target_name)
    writer = runtime(target.runtime.name)
    quantized = convert(prepared, integers=writer.capabilities.takes_integers)
    model = Exportable(
        module=quantized.graph,
        example_inputs=prepared.example_inputs,
        free_batch=prepared.free_batch,
        input_names=("x",),
        output_names=("y",),
        lineage={},
        target=target,
        layers=quantized.layers,
        scheme=prepared.scheme,
    )
    return writer.export(model, folder / f"{target_name}{writer.format.suffix}").path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compared")
    prepared = calibrated(Net().eval(), (torch.randn(1, 3, 8, 8),), "portable")
    snap_biases(prepared)
    return {name: write(prepared, target, folder) for name, target in FOR.items()}


@pytest.mark.parametrize(("a", "b"), list(combinations(FOR, 2)))
def test_any_two_files_of_one_training_stay_together(
    files: dict[str, Path], a: str, b: str
) -> None:
    found = compare_layers(files[a], files[b], None, 0.0)
    assert [layer for layer in found.layers if layer.max_steps] == []
    assert found.first_apart is None
    alone = {one.layer for one in found.unpaired}
    assert alone == (FUSED if b == "tensorrt" else set())
    assert {one.file for one in found.unpaired} <= {"a"}
    # The input, the stem, two convolutions and an addition of each block, the mean and the end.
    stored = 10 - len(alone)
    assert len(found.layers) == stored


@pytest.mark.parametrize(("a", "b"), [("tflite", "tensorrt"), ("tensorrt", "openvino")])
def test_the_layer_that_was_changed_is_named(
    files: dict[str, Path], tmp_path: Path, a: str, b: str
) -> None:
    """Behind it, a residual addition has the scale of those before it, which are unchanged."""
    model = onnx.load(files[b])
    (weight,) = (x for x in model.graph.initializer if x.name == "b.conv1.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0] = -values[0]
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    other = tmp_path / "other.onnx"
    onnx.save(model, other)
    found = compare_layers(files[a], other, None, 0.0)
    assert found.first_apart == "b.conv1"
    before = [layer.layer for layer in found.layers if not layer.max_steps]
    assert before[:2] in (["x", "stem"], ["input", "stem"])
    assert "a.conv1" in before


def test_a_program_of_executorch_says_that_it_shows_none() -> None:
    program = Path(__file__).parent / "executorch" / "net.pte"
    with pytest.raises(ArtifactError, match=r"\.pte files do not show .*; compare another"):
        compare_layers(program, program, None, 0.0)


def test_a_mean_written_as_a_convolution_is_a_mean(files: dict[str, Path]) -> None:
    layers = {x.layer for x in compare_layers(files["tflite"], files["onnx"], None, 0.0).layers}
    assert any(layer.startswith(("depthwise_conv_2d", "mean")) for layer in layers)
    assert np.all([not layer.startswith("node_") for layer in layers])
