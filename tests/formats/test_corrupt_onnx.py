"""Whatever the bytes are, the answer is an Artifact or one line that says what is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import MACHINE, RUNTIME, optimised, quantized, residual_net

from edgecompress.errors import ArtifactError
from edgecompress.formats.onnx.file import describe
from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx

FUZZ = settings(max_examples=120, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return quantized(residual_net(1).save(tmp_path_factory.mktemp("fuzz") / "m.onnx"))


@pytest.fixture(scope="module")
def running(good: Path) -> Path:
    return optimised(good)


def assert_one_line(error: ArtifactError, path: Path) -> None:
    message = str(error)
    assert "\n" not in message
    assert str(path) in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 64, "not an ONNX"),
        (b"PK\x03\x04 a torch checkpoint", "not an ONNX"),
        (b"\x89PNG\r\n\x1a\n", "not an ONNX"),
        ("text, über".encode(), "not an ONNX"),
        (b"\x08\x07", "not an ONNX model"),
    ],
)
def test_foreign_files(tmp_path, content, message):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(content)

    with pytest.raises(ArtifactError, match=message) as caught:
        describe(path)
    assert_one_line(caught.value, path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ArtifactError, match=r"none\.onnx: cannot be read: No such file"):
        describe(tmp_path / "none.onnx")
    with pytest.raises(ArtifactError, match="is a folder"):
        describe(tmp_path)


def test_every_kind_of_truncation(good, tmp_path):
    content = good.read_bytes()
    path = tmp_path / "cut.onnx"
    # The last bytes are metadata, without which a model is whole.
    for size in range(0, len(content) * 9 // 10, len(content) // 150):
        path.write_bytes(content[:size])
        with pytest.raises(ArtifactError) as caught:
            describe(path)
        assert_one_line(caught.value, path)


def damage(path: Path, data: st.DataObject, name: str) -> Path:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = path.with_name(name)
    damaged.write_bytes(content)
    return damaged


def refusal(call: Callable[[], object]) -> ArtifactError | None:
    try:
        call()
    except ArtifactError as error:
        return error
    return None


@FUZZ
@given(st.data())
def test_damaged_bytes(good, running, data):
    path = damage(good, data, "damaged.onnx")

    refused = refusal(lambda: describe(path))
    if refused is None:
        refused = refusal(lambda: inspect_onnx(path, running, RUNTIME, MACHINE))

    if refused is not None:
        assert_one_line(refused, path)


@FUZZ
@given(st.data())
def test_damaged_optimised_graph(good, running, data):
    path = damage(running, data, "damaged-optimised.onnx")

    refused = refusal(lambda: inspect_onnx(good, path, RUNTIME, MACHINE))

    assert refused is None or "\n" not in str(refused)


def test_a_cycle_is_refused(tmp_path):
    g = residual_net(1)
    first = g.nodes[0]
    first.input[0] = "fc"

    with pytest.raises(ArtifactError, match="not a valid ONNX model"):
        describe(g.save(tmp_path / "cycle.onnx"))
