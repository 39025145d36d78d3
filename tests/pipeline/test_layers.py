"""`edgecompress compare --layers`: the layer at which two files of one training part."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_models import GraphBuilder
from quantizing import calibrated, exported
from torch import nn

from edgecompress.errors import ArtifactError
from edgecompress.formats.base import Activation
from edgecompress.pipeline.layers import SAMPLES, _arranged, _differences, compare_layers
from edgecompress.spec.measurement import LayerDifference


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1)]
    return nn.Sequential(*layers).eval()


INPUTS = (torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)),)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    model = net()
    return exported(calibrated(model, INPUTS), model, folder).artifact.path


def with_another_weight(file: Path, folder: Path, index: int) -> Path:
    """A copy, in which one weight of the layer of that index has another sign."""
    model = onnx.load(file)
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    values = numpy_helper.to_array(weights[index]).copy()
    largest = np.unravel_index(np.abs(values.astype(np.int32)).argmax(), values.shape)
    values[largest] = -values[largest]
    weights[index].CopyFrom(numpy_helper.from_array(values, weights[index].name))
    path = folder / "other.onnx"
    onnx.save(model, path)
    return path


def test_a_file_is_at_one_with_itself(file: Path) -> None:
    found = compare_layers(file, file, None, 0.0)
    assert found.samples == SAMPLES
    assert found.first_apart is None
    assert len(found.layers) >= 3
    assert {(layer.max_steps, layer.differing) for layer in found.layers} == {(0.0, 0.0)}


def test_the_layer_that_was_changed_is_the_first_apart(file: Path, tmp_path: Path) -> None:
    same = compare_layers(file, file, None, 0.0).layers
    found = compare_layers(file, with_another_weight(file, tmp_path, 1), None, 0.0)
    assert [layer.layer for layer in found.layers] == [layer.layer for layer in same]
    apart = [layer for layer in found.layers if layer.max_steps]
    assert found.first_apart == apart[0].layer
    assert apart == list(found.layers[-len(apart) :])
    assert 0 < len(apart) < len(found.layers)
    assert all(0 < layer.differing <= 1 for layer in apart)
    # What is allowed is allowed.
    most = max(layer.max_steps for layer in found.layers)
    other = tmp_path / "other.onnx"
    assert compare_layers(file, other, None, most).first_apart is None
    assert compare_layers(file, other, None, most - 0.5).first_apart is not None


def test_files_of_two_trainings_have_nothing_in_common(file: Path, tmp_path: Path) -> None:
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not tensor.dims:
            scale = numpy_helper.to_array(tensor) * np.float32(1.1)
            tensor.CopyFrom(numpy_helper.from_array(scale, tensor.name))
    other = tmp_path / "other.onnx"
    onnx.save(model, other)
    with pytest.raises(ArtifactError, match=r"no activation in common .* files of one training"):
        compare_layers(file, other, None, 1.0)


def side(*activations: tuple[str, float, NDArray[np.int32]]) -> Any:
    """A file that was run: layers with their scales and integers."""
    steps = {name: values for name, _, values in activations}
    listed = [Activation(name, name, scale, 0) for name, scale, _ in activations]
    by_scale: dict[np.float32, list[Activation]] = {}
    for one in listed:
        by_scale.setdefault(np.float32(one.scale), []).append(one)
    return SimpleNamespace(
        activations=listed, by_scale=by_scale, steps=lambda activation: steps[activation.output]
    )


def test_tensors_of_one_scale_are_paired_in_their_order() -> None:
    one, two = np.array([[1, 2]]), np.array([[5, 9]])
    a = side(("a1", 0.5, one), ("a2", 0.5, two), ("a3", 0.5, two), ("a4", 0.25, one))
    b = side(("b1", 0.5, one), ("b2", 0.5, two + np.array([[0, 3]])))
    assert list(_differences(a, b)) == [
        LayerDifference(layer="a1", max_steps=0.0, differing=0.0),
        LayerDifference(layer="a2", max_steps=3.0, differing=0.5),
    ]


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)])
def test_channels_may_be_first_or_last(axes: tuple[int, ...]) -> None:
    for shape in ((1, 2, 3, 4), (2, 3, 3, 3)):
        values = np.arange(np.prod(shape)).reshape(shape)
        (found,) = _differences(side(("a", 0.5, values)), side(("b", 0.5, values.transpose(axes))))
        assert found.max_steps == 0
    assert len(_arranged(np.zeros((1, 2, 3, 4)), np.zeros((1, 3, 4, 2)))) == 1
    assert len(_arranged(np.zeros((2, 3)), np.zeros((2, 3)))) == 1


def test_tensors_of_other_shapes_are_no_pair() -> None:
    a, b = side(("a", 0.5, np.zeros((2, 3)))), side(("b", 0.5, np.zeros((3, 2))))
    assert list(_differences(a, b)) == []


def square(path: Path, shape: tuple[int, ...]) -> Path:
    g = GraphBuilder()
    g.input("x", shape)
    g.node("Relu", [g.qdq("x", "q")], "y")
    g.output("y", shape)
    return g.save(path)


def test_files_of_other_inputs_are_not_compared(tmp_path: Path) -> None:
    good = square(tmp_path / "a.onnx", (1, 4, 6, 6))
    with pytest.raises(ArtifactError, match=r"b\.onnx: takes inputs of .* compare files of one"):
        compare_layers(good, square(tmp_path / "b.onnx", (1, 4, 65536, 6)), None, 2.0)
    with pytest.raises(ArtifactError, match=r"c\.onnx: has an input without a batch"):
        compare_layers(good, square(tmp_path / "c.onnx", ()), None, 2.0)
