"""What a TFLite file says of itself; whatever the bytes are, one line where it is wrong."""

import hashlib
import json
import os
import sys

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")

from tflite_files import FileBuilder, float_edges, int8_edges

from edgecompress.artifact import TensorInfo
from edgecompress.errors import ArtifactError, RuntimeMissing
from edgecompress.formats.tflite.file import describe as describe_tflite
from edgecompress.formats.tflite.graph import schema
from edgecompress.runtimes.litert.inspect import inspect_tflite

MUTATIONS = 300


def assert_one_line(error: Exception, path) -> None:
    message = str(error)
    assert "\n" not in message
    assert str(path) in message
    assert len(message) < 500


def test_float_edges_carry_the_scale_inside(tmp_path):
    path = float_edges(tmp_path / "m.tflite")

    artifact = describe_tflite(path)

    assert artifact.inputs == (
        TensorInfo(name="image", shape=(1, 6, 6, 3), dtype="float32", scale=0.0625, zero_point=0),
    )
    assert artifact.outputs == (
        TensorInfo(name="scores", shape=(1, 4), dtype="float32", scale=0.5, zero_point=3),
    )
    assert artifact.format == "tflite"
    assert artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert artifact.size_bytes == path.stat().st_size
    assert artifact.lineage == {}
    assert artifact.labels is None


def test_int8_edges_carry_their_own(tmp_path):
    artifact = describe_tflite(int8_edges(tmp_path / "m.tflite"))

    (x,), (y,) = artifact.inputs, artifact.outputs
    assert (x.name, x.dtype, x.zero_point) == ("image", "int8", -1)
    assert x.scale == pytest.approx(0.0625)
    assert (y.name, y.dtype, y.zero_point) == ("map", "int8", -128)


def test_lineage_labels_and_layout(tmp_path):
    metadata = {
        "edgecompress.lineage": {"recipe": "ab12"},
        "edgecompress.labels": ["cat", "dög"],
        "edgecompress.layout": {"image": "nhwc"},
    }
    written = {key: json.dumps(value).encode() for key, value in metadata.items()}

    artifact = describe_tflite(float_edges(tmp_path / "m.tflite", written))

    assert artifact.lineage == {"recipe": "ab12"}
    assert artifact.labels == ("cat", "dög")
    assert [info.layout for info in (*artifact.inputs, *artifact.outputs)] == ["nhwc", None]


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("lineage", b"{", "not JSON"),
        ("lineage", b'{"a": 1}', "not a JSON object of strings"),
        ("labels", b'{"a": "b"}', "not a JSON list of strings"),
        ("labels", b"\xff\xfe\xfd", "not JSON"),
        ("layout", b'{"image": "chwn"}', "layout 'chwn'; known: nchw, nhwc"),
    ],
)
def test_foreign_metadata_is_refused(tmp_path, key, content, message):
    path = float_edges(tmp_path / "m.tflite", {f"edgecompress.{key}": content})

    with pytest.raises(ArtifactError, match=message):
        describe_tflite(path)


def test_names_follow_the_graph_and_not_the_signature(tmp_path):
    b = FileBuilder()
    for name in ("b", "a"):
        b.tensor(name, (1, 4), "float32")
    b.op("ADD", ["b", "a"], [b.tensor("sum", (1, 4), "float32")])
    b.op("MUL", ["b", "a"], [b.tensor("product", (1, 4), "float32")])
    path = b.save(
        tmp_path / "m.tflite",
        {"b": "second", "a": "first"},
        {"sum": "y", "product": "z"},
    )

    artifact = describe_tflite(path)

    assert [info.name for info in artifact.inputs] == ["second", "first"]
    assert [info.name for info in artifact.outputs] == ["y", "z"]


def test_free_dimensions_have_names_and_no_signature_gives_the_tensors_names(tmp_path):
    b = FileBuilder()
    b.tensor("x", (-1, 4), "float32")
    b.op("RELU", ["x"], [b.tensor("y", (-1, 4), "float32")])

    artifact = describe_tflite(b.save(tmp_path / "m.tflite", {"x": "-"}, {"y": "-"}, None, ()))

    assert artifact.inputs[0] == TensorInfo(name="x", shape=("x_dim0", 4), dtype="float32")


def test_one_tensor_under_two_names(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 4), "float32")
    b.op("RELU", ["x"], [b.tensor("y", (1, 4), "float32")])

    artifact = describe_tflite(b.save(tmp_path / "m.tflite", {"x": "x"}, {"x": "same", "y": "y"}))

    assert [info.name for info in artifact.outputs] == ["same", "y"]


def test_several_signatures_are_refused(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 4), "float32")
    b.op("RELU", ["x"], [b.tensor("y", (1, 4), "float32")])
    path = b.save(tmp_path / "m.tflite", {"x": "x"}, {"y": "y"}, None, ("encode", "decode"))

    with pytest.raises(ArtifactError, match=r"2 signatures \('encode', 'decode'\)"):
        describe_tflite(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 64, "not a TFLite file"),
        (b"\x08\x07\x12\x07pytorch an ONNX file", "not a TFLite file"),
        (b"\x1c\x00\x00\x00TFL3", "not a valid TFLite file, or cut short"),
    ],
)
def test_foreign_files(tmp_path, content, message):
    path = tmp_path / "foreign.tflite"
    path.write_bytes(content)

    with pytest.raises(ArtifactError, match=message) as caught:
        describe_tflite(path)
    assert_one_line(caught.value, path)


def test_missing_file_folder_and_more_than_two_gib(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read: No such file"):
        describe_tflite(tmp_path / "none.tflite")
    with pytest.raises(ArtifactError, match="is a folder"):
        describe_tflite(tmp_path)
    large = tmp_path / "large.tflite"
    large.touch()
    # Sparse: it takes no space.
    os.truncate(large, 2**31)
    with pytest.raises(ArtifactError, match=r"has 2\.0 GiB, and a TFLite file ends at 2 GiB"):
        describe_tflite(large)


def test_without_the_schema_the_line_says_what_to_install(tmp_path, monkeypatch):
    path = float_edges(tmp_path / "m.tflite")
    # None in its place is how Python says that there is none.
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)

    with pytest.raises(RuntimeMissing, match=r"pip install 'edgecompress\[litert\]'"):
        describe_tflite(path)


def test_every_truncation_is_refused(tmp_path):
    content = float_edges(tmp_path / "m.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    for size in range(0, len(content) - 16, len(content) // 60):
        path.write_bytes(content[:size])
        with pytest.raises(ArtifactError) as caught:
            describe_tflite(path)
        assert_one_line(caught.value, path)


def test_damaged_bytes_are_read_or_refused(tmp_path):
    content = float_edges(tmp_path / "m.tflite").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.tflite"
    refused = 0
    for _ in range(MUTATIONS):
        damaged = bytearray(content)
        for position in rng.integers(8, len(content), rng.integers(1, 12)):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            describe_tflite(path)
            inspect_tflite(path, "litert", "x86_64", "nnapi", 30)
            inspect_tflite(path, "litert", "x86_64", "xnnpack")
        except ArtifactError as error:
            assert_one_line(error, path)
            refused += 1
    assert 50 < refused < MUTATIONS


def test_a_file_that_names_more_than_it_holds_ends_soon(tmp_path, monkeypatch):
    path = float_edges(tmp_path / "m.tflite")
    # Every vector a million items long, as a damaged length or a circle of offsets makes it.
    monkeypatch.setattr(schema().SubGraph, "TensorsLength", lambda self: 1_000_000)

    with pytest.raises(ArtifactError, match="names more items than it can hold"):
        describe_tflite(path)
