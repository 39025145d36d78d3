"""The graph that a device tells may be anything; bits and passes follow from OpenVINO's kernels."""

import json
from pathlib import Path

import pytest

from edgecompress.errors import AgentError
from edgecompress.runtimes.openvino.executed import read_graph
from edgecompress.spec.load import load_target
from edgecompress.spec.recipe import weight_bits
from edgecompress.spec.target import Cpu

NODE = {
    "name": "a",
    "type": "Convolution",
    "precision": "u8",
    "outputs": "u8",
    "origins": "a,b",
    "inputs": [],
    "inside": [],
    "time_us": 1.5,
}


def graph(*nodes: object, version: object = 3) -> bytes:
    told = {"schema_version": version, "device": "CPU", "float_type": "bf16", "nodes": nodes}
    return json.dumps(told).encode()


def test_a_graph_is_read(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_bytes(graph(NODE, {**NODE, "name": "b", "inputs": [0], "outputs": "f32"}))
    first, second = read_graph(path, "board").nodes
    assert (first.dtype, second.written) == ("int8", ("float32",))
    assert list(read_graph(path, "board").sources(second)) == [first]
    assert read_graph(path, "board").where == "CPU, bfloat16"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 5000,
        graph(NODE, version=2),
        graph(NODE, NODE),
        graph({**NODE, "inputs": [0]}),
        graph({**NODE, "inputs": [-1]}),
        graph({**NODE, "inputs": [7]}),
        graph({**NODE, "inputs": ["0"]}),
        graph({**NODE, "name": 3}),
        graph({**NODE, "name": "x" * 10_000}),
        graph({**NODE, "time_us": -1.0}),
        graph({**NODE, "more": 1}),
        graph({**NODE, "inside": [{"type": "MatMul"}]}),
        graph({**NODE, "inside": [NODE]}),
        graph(None),
        b'{"schema_version": 3, "nodes": [], "nodes": []}',
        b'{"schema_version": 1, "nodes": ' + b"9" * 6000 + b"}",
        b'{"schema_version": 1, "nodes": [' + b"{}," * 20_000 + b"{}]}",
    ],
)
def test_a_graph_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "graph.json"
    path.write_bytes(content)
    with pytest.raises(AgentError) as caught:
        read_graph(path, "board")
    assert str(caught.value).startswith("board: the graph that OpenVINO runs cannot be read: ")
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    ("architecture", "features", "bits"),
    [("x86_64", ("avx2",), 7), ("x86_64", ("avx2", "avx_vnni"), 8), ("aarch64", (), 8)],
)
def test_seven_bits_where_the_kernels_add_in_sixteen(
    dtype: str, architecture: str, features: tuple[str, ...], bits: int
) -> None:
    """oneDNN adds 128 to int8 activations there, so that both types overflow."""
    target = load_target("local-openvino")
    activations = target.quantization.activations.model_copy(update={"dtype": dtype})
    scheme = target.quantization.model_copy(update={"activations": activations})
    cpu = Cpu(architecture=architecture, features=features, cores=1)
    assert weight_bits(target.model_copy(update={"quantization": scheme, "cpu": cpu})) == bits
