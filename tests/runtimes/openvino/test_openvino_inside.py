"""What multiplies inside a fused primitive: proved by the graph without fusing, or not at all."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("openvino", reason="needs openvino: pip install 'edgecompress[openvino]'")

from openvino_files import built
from zoo.catalogue import build

from edgecompress.runtimes.openvino.executed import Graph, Node, Part
from edgecompress.runtimes.openvino.inspect import UNTOLD_INSIDE, inspect_openvino
from edgecompress.spec.measurement import Op

LAYERS = ("0", "4", "7")
"""The names of linear_stack's three layers."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stack")
    return built(*build("linear_stack"), folder, "portable").artifact.path


@pytest.fixture(scope="module")
def inside() -> Iterator[ModuleType]:
    devices = str(Path(__file__).parents[3] / "devices")
    sys.path.insert(0, devices)
    yield importlib.import_module("agent.openvino_inside")
    sys.path.remove(devices)


def part(kind: str, precision: str, origins: str) -> Part:
    return Part(type=kind, precision=precision, outputs="f32", origins=origins)


def ops(path: Path, *parts: Part) -> tuple[Op, ...]:
    """Those of a graph that is one primitive, with float edges, of the whole stack."""
    node = Node(
        name="out0",
        type="Subgraph",
        precision="f32",
        outputs="f32",
        origins=",".join(("node_quantize_per_tensor", *LAYERS, "out0")),
        inputs=(),
        inside=parts,
        time_us=1.0,
    )
    graph = Graph(schema_version=3, device="CPU", float_type="f32", nodes=(node,))
    return inspect_openvino(path, graph, "openvino", "x86_64").ops


def test_its_edges_prove_nothing(path: Path) -> None:
    (only,) = ops(path)
    assert (only.dtype, only.reason) == ("unknown", UNTOLD_INSIDE)
    assert only.macs


def test_int8_where_all_that_multiplies_is_and_floats_beside_it_are_told(path: Path) -> None:
    parts = [part("FullyConnected", "i8", name) for name in LAYERS]
    only, softmax = ops(path, *parts, part("Softmax", "f32", "elsewhere"))
    assert (only.dtype, only.reason) == ("int8", None)
    assert (softmax.dtype, softmax.macs) == ("float32", 0)
    assert softmax.reason == "OpenVINO has no int8 kernel for Softmax"


@pytest.mark.parametrize(("precision", "dtype"), [("f32", "float32"), ("bf16", "bfloat16")])
def test_float_where_one_of_them_is(path: Path, precision: str, dtype: str) -> None:
    parts = [part("FullyConnected", "i8", name) for name in LAYERS[:2]]
    (only,) = ops(path, *parts, part("FullyConnected", precision, LAYERS[2]))
    assert only.dtype == dtype
    assert only.reason == f"it is quantised on all sides, but OpenVINO computes it in {dtype}"


def test_unknown_where_one_of_them_is(path: Path) -> None:
    parts = [part("FullyConnected", "i8", name) for name in LAYERS[:2]]
    assert ops(path, *parts, part("FullyConnected", "dynamic", LAYERS[2]))[0].dtype == "unknown"


def told(kind: str, origins: str) -> dict[str, Any]:
    return {"type": kind, "precision": "i8", "outputs": "f32", "origins": origins, "inside": []}


def test_what_runs_by_itself_is_in_no_other(inside: ModuleType) -> None:
    """A DQ that follows a layer has names of it, where that layer is a primitive of its own."""
    alone, rest = told("FullyConnected", "a,q"), told("Subgraph", "q,q/DequantizationMultiply")
    fused = told("Subgraph", "b,s,c")
    nodes = [alone, rest, fused]
    unfused = [told("FullyConnected", "a,q,q/DequantizationMultiply"), told("MatMul", "b")]
    inside.add_inside(nodes, [*unfused, told("Softmax", "s"), told("MatMul", "c")])
    assert [len(node["inside"]) for node in nodes] == [0, 0, 3]
    assert [each["type"] for each in fused["inside"]] == ["MatMul", "Softmax", "MatMul"]


def test_a_fused_primitive_that_only_adds_needs_no_proof(inside: ModuleType) -> None:
    nodes = [told("Subgraph", "a,b")]
    inside.add_inside(nodes, [told("Eltwise", "a"), told("FakeQuantize", "b")])
    assert nodes[0]["inside"] == []
