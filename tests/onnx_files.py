"""Small real ONNX files, and their artifacts."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgecompress.artifact import Artifact, TensorInfo, sha256_of
from edgecompress.measure.loaded import Loaded

FLOAT = TensorProto.FLOAT
Shape = list[int | str]


def linear(path: Path, features: int, classes: int, batch: int | str = "batch") -> np.ndarray:
    """scores = x @ weight; returns the weight [features, classes]."""
    weight = np.random.default_rng(7).standard_normal((features, classes)).astype("float32")
    save(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        [value("x", FLOAT, [batch, features])],
        [value("scores", FLOAT, [batch, classes])],
        {"w": weight},
    )
    return weight


def constant(path: Path, fill: float, features: int, classes: int) -> None:
    """Scores that are 0 * x + fill, whatever x is."""
    save(
        path,
        [
            helper.make_node("MatMul", ["x", "w"], ["zero"]),
            helper.make_node("Add", ["zero", "fill"], ["scores"]),
        ],
        [value("x", FLOAT, ["batch", features])],
        [value("scores", FLOAT, ["batch", classes])],
        {
            "w": np.zeros((features, classes), "float32"),
            "fill": np.full(classes, fill, "float32"),
        },
    )


def two_by_two(path: Path, batch: int | str) -> None:
    """Inputs 'file' [N, 3] and 'b/1' [N, 3, 2]; outputs 'sum' [N, 3, 2] and 'double' [N, 3]."""
    save(
        path,
        [
            helper.make_node("Unsqueeze", ["file", "axis"], ["column"]),
            helper.make_node("Add", ["column", "b/1"], ["sum"]),
            helper.make_node("Add", ["file", "file"], ["double"]),
        ],
        [value("file", FLOAT, [batch, 3]), value("b/1", FLOAT, [batch, 3, 2])],
        [value("sum", FLOAT, [batch, 3, 2]), value("double", FLOAT, [batch, 3])],
        {"axis": np.array([2], "int64")},
    )


def doubler_int8(path: Path) -> None:
    """uint8 in (scale 0.5, zero point 10) -> times 2 -> int8 out (scale 0.25, zero point -3)."""
    save(
        path,
        [
            helper.make_node("DequantizeLinear", ["x", "x_scale", "x_zero"], ["real"]),
            helper.make_node("Add", ["real", "real"], ["doubled"]),
            helper.make_node("QuantizeLinear", ["doubled", "y_scale", "y_zero"], ["y"]),
        ],
        [value("x", TensorProto.UINT8, ["batch", 4])],
        [value("y", TensorProto.INT8, ["batch", 4])],
        {
            "x_scale": np.array(0.5, "float32"),
            "x_zero": np.array(10, "uint8"),
            "y_scale": np.array(0.25, "float32"),
            "y_zero": np.array(-3, "int8"),
        },
    )


def value(name: str, dtype: int, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray],
) -> None:
    """In an old IR version, so that the old runtimes of boards read it too."""
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "small", inputs, outputs, weights)
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)


def artifact(path: Path, quantization: dict[str, tuple[float, int]] | None = None) -> Artifact:
    """Read back from the file; `quantization` gives scale and zero point by tensor name."""
    graph = onnx.load(path).graph
    return Artifact(
        path=path,
        format="onnx",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        inputs=tuple(_info(tensor, quantization or {}) for tensor in graph.input),
        outputs=tuple(_info(tensor, quantization or {}) for tensor in graph.output),
    )


def loaded(path: Path, quantization: dict[str, tuple[float, int]] | None = None) -> Loaded:
    """As ONNX Runtime runs it."""
    return Loaded(artifact(path, quantization), "onnxruntime")


def _info(tensor: onnx.ValueInfoProto, quantization: dict[str, tuple[float, int]]) -> TensorInfo:
    kind = tensor.type.tensor_type
    scale, zero_point = quantization.get(tensor.name, (None, None))
    return TensorInfo(
        name=tensor.name,
        shape=tuple(size.dim_param or size.dim_value for size in kind.shape.dim),
        dtype=helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
        scale=scale,
        zero_point=zero_point,
    )
