"""`edgecompress compare --layers`: the layer at which two files of one training part."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx_models import GraphBuilder
from quantizing import calibrated, exported
from torch import nn

from edgecompress.errors import ArtifactError
from edgecompress.formats.base import Activation
from edgecompress.pipeline.layers import SAMPLES, _difference, compare_layers
from edgecompress.pipeline.pairing import NOT_THERE, REARRANGED, pair
from edgecompress.spec.layers import LayerDifference


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


def activation(layer: str, scale: float, identity: str | None, number: int = 1) -> Activation:
    return Activation(layer, layer, scale, 0, identity, number)


def told(a: list[Activation], b: list[Activation]) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs by their names, and 'file name: reason' of what has none."""
    found = pair(a, b)
    alone = [f"{one.file} {one.layer}: {one.reason}" for one in found.unpaired]
    return [(one.layer, other.layer) for one, other in found.pairs], alone


def test_what_comes_from_the_same_layers_with_the_same_scale_is_paired() -> None:
    a = [activation("a1", 0.5, "x"), activation("a2", 0.5, "y"), activation("a3", 0.25, "x")]
    b = [activation("b1", 0.25, "x"), activation("b2", 0.5, "x"), activation("b3", 0.5, "z")]
    pairs, alone = told(a, b)
    assert pairs == [("a1", "b2"), ("a3", "b1")]
    assert alone == [f"a a2: {NOT_THERE}", f"b b3: {NOT_THERE}"]


def test_those_that_follow_each_other_are_paired_in_order_if_they_are_equally_many() -> None:
    chain = [activation("a1", 0.5, "x", 1), activation("a2", 0.5, "x", 2)]
    other = [activation("b1", 0.5, "x", 1), activation("b2", 0.5, "x", 2)]
    assert told(chain, other) == ([("a1", "b1"), ("a2", "b2")], [])
    pairs, alone = told(chain, other[:1])
    assert pairs == []
    assert len(alone) == 3
    assert all("come from the same layers" in line for line in alone)


def test_those_beside_each_other_cannot_be_told_apart() -> None:
    beside = [activation("a1", 0.5, "x"), activation("a2", 0.5, "x")]
    pairs, alone = told(beside, [activation("b1", 0.5, "x"), activation("b2", 0.5, "x")])
    assert pairs == []
    assert [line.split(":")[0] for line in alone] == ["a a1", "a a2", "b b1", "b b2"]
    assert "'a2'" in alone[0]
    assert told(beside, [activation("b1", 0.5, "x")])[0] == []


def test_numbers_in_an_unknown_order_are_not_compared() -> None:
    pairs, alone = told([activation("a", 0.5, None)], [activation("b", 0.5, None)])
    assert pairs == []
    assert alone == [f"a a: {REARRANGED}", f"b b: {REARRANGED}"]


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)])
def test_channels_may_be_first_or_last(axes: tuple[int, ...]) -> None:
    for shape in ((1, 2, 3, 4), (2, 3, 3, 3)):
        values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
        found = _difference("a", values, values.transpose(axes))
        assert found == LayerDifference(layer="a", max_steps=0, differing=0)


def test_dimensions_of_one_say_nothing() -> None:
    signal = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    image = signal.transpose(0, 2, 1).reshape(2, 1, 4, 3)
    found = _difference("a", signal, image)
    assert found is not None
    assert found.max_steps == 0


def test_tensors_of_other_shapes_have_no_difference() -> None:
    assert _difference("a", np.zeros((2, 3), np.int32), np.zeros((2, 4), np.int32)) is None


def test_a_difference_is_in_steps() -> None:
    one, other = np.array([[5, 9]], np.int32), np.array([[5, 12]], np.int32)
    assert _difference("a", one, other) == LayerDifference(layer="a", max_steps=3, differing=0.5)


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
