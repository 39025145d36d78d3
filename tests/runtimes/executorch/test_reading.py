"""A .pte is read without ExecuTorch, and whatever is wrong with one is told in one line.

`net.pte` was written by `pte_files.quantised(net, .., keep_float=("gate",))`.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.errors import ArtifactError
from edgecompress.pipeline.formats import describe_file
from edgecompress.runtimes.executorch.constants import numbers_of
from edgecompress.runtimes.executorch.inspect import inspect_pte
from edgecompress.runtimes.executorch.program import load
from edgecompress.spec.measurement import Inspection

NET = Path(__file__).with_name("net.pte")
CONTENT = NET.read_bytes()


def inspect(path: Path = NET) -> Inspection:
    return inspect_pte(path, "executorch", "x86_64")


def test_names_shapes_and_scales():
    artifact = describe_file(NET)
    assert artifact.format == "pte"
    assert [(x.name, x.shape, x.dtype) for x in artifact.inputs] == [
        ("in0", (1, 3, 8, 8), "float32"),
        ("in1", (1, 8), "float32"),
    ]
    assert [(y.name, y.shape) for y in artifact.outputs] == [("out0", (1, 5)), ("out1", (1, 16))]
    assert all(x.scale is not None and x.scale > 0 for x in artifact.inputs + artifact.outputs)
    assert artifact.lineage == {"task": "t"}
    assert artifact.labels == ("cat", "dög")


def test_every_operator_is_int8_or_has_a_reason():
    ops = inspect().ops
    assert all(op.dtype == "int8" or op.reason for op in ops)
    layers = {op.module: op for op in ops if op.macs}
    assert {name: op.macs for name, op in layers.items()} == {
        "stem": 8 * 8 * 8 * 9 * 3,
        "body.0": 8 * 8 * 8 * 9,
        "gate": 4 * 4 * 8 * 8,
        "fc": 5 * 16,
    }
    assert [op.dtype for op in layers.values()] == ["int8", "int8", "float32", "int8"]
    assert layers["gate"].reason == "kept in float by the recipe: asked"
    reasons = {op.op_type: op.reason for op in ops if op.dtype != "int8"}
    assert reasons["XNNSigmoid"] == "ExecuTorch hands Sigmoid to XNNPACK in float only"
    assert "a portable kernel" in str(reasons["aten::slice_copy"])
    assert {op.op_type for op in ops if op.delegated is False} == {"aten::slice_copy"}


def test_conversions_at_the_edge_are_no_lost_fusions():
    ops = [op for op in inspect().ops if op.op_type == "XNNConvert"]
    edge = [op for op in ops if not op.between_compute]
    assert len(edge) == 4  # two inputs, two outputs
    assert all("once" in str(op.reason) for op in edge)


def test_the_numbers_of_layers():
    numbers = numbers_of(describe_file(NET))
    layers = {layer.path: layer for layer in numbers.layers}
    assert set(layers) == {"stem", "body.0", "gate", "fc"}
    assert layers["stem"].weight.shape == (8, 3, 3, 3)
    assert layers["body.0"].weight.shape == (1, 3, 3, 8)
    assert layers["gate"].bias_step is None
    assert layers["fc"].bias is not None
    steps = layers["fc"].bias / layers["fc"].bias_step
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)
    assert numbers.points


def test_a_file_cut_short(tmp_path):
    path = tmp_path / "cut.pte"
    for size in range(1, len(CONTENT), 251):
        path.write_bytes(CONTENT[:size])
        with pytest.raises(ArtifactError) as caught:
            inspect(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" * 9, "not a .pte file"),
        (CONTENT[:16] + b"\xff" * 8 + CONTENT[24:], "points beyond its end"),
        (CONTENT.replace(b"forward", b"forwerd"), "'forwerd'; export a file with one method"),
        (CONTENT.replace(b"XnnpackBackend", b"CoreMLBackends"), "has a part for CoreMLBackends"),
        (CONTENT.replace(b"XH00", b"XH01"), "has no header"),
        (
            CONTENT.replace(b"aten::slice_copy", b"mine::slice_copy"),
            "mine::slice_copy is not known",
        ),
        (CONTENT.replace(b'["in0", "in1"]', b'["in0", "in0"]'), "does not name its 2 inputs"),
        (CONTENT.replace(b'{"task": "t"}', b'["task", "t"]'), "not a JSON object of strings"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, words):
    path = tmp_path / "wrong.pte"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=words) as caught:
        look(path)
    assert str(path) in str(caught.value)


def look(path: Path) -> None:
    """All that reads a user's file here."""
    artifact = describe_file(path)
    inspect(path)
    numbers_of(artifact)


def test_a_folder_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ArtifactError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        load(tmp_path / "none.pte")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), max_size=12))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, changes):
    content = bytearray(CONTENT)
    for at, value in changes:
        content[at] = value
    _refused_or_read(tmp_path_factory, bytes(content))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_behind_the_identifier(tmp_path_factory, content):
    _refused_or_read(tmp_path_factory, CONTENT[:8] + content)


def _refused_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pte"
    path.write_bytes(content)
    try:
        look(path)
    except ArtifactError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
