"""Small model files of many kinds, for `damaged_files.py` to damage."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "inspect")]

schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
tflite_files: Any = importlib.import_module("tflite_files")
onnx_models: Any = importlib.import_module("onnx_models")

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def qdq(folder: Path) -> Path:
    """Convolutions between Q and DQ, with the metadata that edgecompress writes."""
    path = Path(onnx_models.quantized(onnx_models.residual_net(1).save(folder / "float.onnx")))
    proto = onnx.load(path)
    lists = {"edgecompress.labels": ["a", "b"], "edgecompress.keep_float": ["fc"]}
    objects = {"edgecompress.lineage": {"task": "t"}, "edgecompress.kept_because": {"fc": "0.1"}}
    helper.set_model_props(
        proto, {key: json.dumps(value) for key, value in {**lists, **objects}.items()}
    )
    onnx.save(proto, path)
    return path


def float_net(folder: Path) -> Path:
    return Path(onnx_models.residual_net(1).save(folder / "plain.onnx"))


def after_optimisation(folder: Path) -> Path:
    """With operators of ONNX Runtime's own domains."""
    return Path(onnx_models.optimised(qdq(folder)))


def control_flow(folder: Path) -> Path:
    """If and Loop with bodies that read the outer graph, and shape arithmetic."""
    g = onnx_models.GraphBuilder()
    x = g.input("x", ("batch", 4))
    g.constant("yes", np.array(True))
    g.constant("times", np.array(3, np.int64))
    g.constant("axes", np.array([0], np.int64))
    g.constant("one", np.array([1], np.int64))

    def body(name: str, op: str, loop: bool) -> onnx.GraphProto:
        out = [helper.make_tensor_value_info(f"{name}_y", FLOAT, None)]
        if not loop:
            node = helper.make_node(op, ["x", "x"], [f"{name}_y"], name=f"{name}_{op}")
            return helper.make_graph([node], name, [], out)
        inputs = [
            helper.make_tensor_value_info(f"{name}_i", INT64, []),
            helper.make_tensor_value_info(f"{name}_c", BOOL, []),
            helper.make_tensor_value_info(f"{name}_x", FLOAT, None),
        ]
        nodes = [
            helper.make_node("Identity", [f"{name}_c"], [f"{name}_k"]),
            helper.make_node(op, [f"{name}_x", "x"], [f"{name}_y"]),
        ]
        again = helper.make_tensor_value_info(f"{name}_k", BOOL, [])
        return helper.make_graph(nodes, name, inputs, [again, *out])

    branches = {"then_branch": body("a", "Add", False), "else_branch": body("b", "Mul", False)}
    chosen = g.node("If", ["yes"], "chosen", **branches)
    looped = g.node("Loop", ["times", "", chosen], "looped", body=body("l", "Sub", True))
    shape = g.node("Shape", [x], "shape")
    rows = g.node("Gather", [shape, "axes"], "rows")
    sizes = g.node("Concat", [rows, "one", "one"], "sizes", axis=0)
    wide = g.node("Unsqueeze", [looped, "one"], "wide")
    g.node("Expand", [wide, sizes], "y")
    g.output("y", ("batch", 1, 4))
    return Path(g.save(folder / "flow.onnx"))


def recurrent(folder: Path) -> Path:
    """LSTM, Einsum, attention-like products, a Resize and a model-local function."""
    g = onnx_models.GraphBuilder()
    x = g.input("x", (5, 1, 4))
    g.node("LSTM", [x, g.weight("w", (1, 12, 4)), g.weight("r", (1, 12, 3))], "h", hidden_size=3)
    flat = g.node("Squeeze", ["h", g.constant("one", np.array([1], np.int64))], "flat")
    e = g.node("Einsum", [flat, g.weight("k", (3, 6))], "e", equation="abc,cd->abd")
    s = g.node("Softmax", [g.node("MatMul", [e, g.weight("m", (6, 6))], "p")], "s", axis=-1)
    g.node("Twice", [s], "t", domain="own")
    scales = g.constant("scales", np.array([1, 1, 2], np.float32))
    g.node("Resize", ["t", "", scales], "y", mode="nearest")
    g.output("y", (5, 1, 12))
    path = Path(g.save(folder / "recurrent.onnx"))
    proto = onnx.load(path)
    twice = helper.make_node("Add", ["a", "a"], ["b"])
    proto.functions.append(
        helper.make_function("own", "Twice", ["a"], ["b"], [twice], proto.opset_import)
    )
    proto.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(proto, path)
    return path


def integer_operators(folder: Path) -> Path:
    """QLinear operators as the file has them, and a DynamicQuantizeLinear."""
    g = onnx_models.GraphBuilder()
    x = g.input("x", (1, 4, 6, 6))
    xs, zs = g.scale("in")
    q = g.node("QuantizeLinear", [x, xs, zs], "q")
    weight = g.constant("w", g.rng.integers(-9, 9, (4, 4, 3, 3)).astype(np.int8))
    ws, wz = g.scale("ws", [0.01] * 4, 0, np.int8)
    out = g.scale("out")
    conv = g.node("QLinearConv", [q, xs, zs, weight, ws, wz, *out], "c", pads=[1] * 4)
    g.node("DequantizeLinear", [conv, *out], "d")
    proto = helper.make_node("DynamicQuantizeLinear", ["d"], ["dq", "ds", "dz"], name="dynamic")
    g.nodes.append(proto)
    w8 = g.constant("w8", g.rng.integers(0, 9, (6, 2)).astype(np.uint8))
    g.node("MatMulInteger", ["dq", w8, "dz"], "y")
    g.output("y", (1, 4, 6, 2), TensorProto.INT32)
    return Path(g.save(folder / "integers.onnx"))


def external(folder: Path) -> Path:
    """Weights in a file beside it, which is refused; a damaged one must be too."""
    path = Path(onnx_models.residual_net(1).save(folder / "whole.onnx"))
    proto = onnx.load(path)
    parted = folder / "parted.onnx"
    onnx.save(proto, parted, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return parted


def sparse(folder: Path) -> Path:
    """A sparse initialiser, strings, a sequence and an optional."""
    g = onnx_models.GraphBuilder()
    x = g.input("x", ("batch", 4))
    g.node("MatMul", [x, "w"], "p")
    g.node("SequenceConstruct", ["p", "p"], "q")
    g.node("ConcatFromSequence", ["q"], "y", axis=1)
    g.output("y", ("batch", 8))
    path = Path(g.save(folder / "sparse.onnx"))
    proto = onnx.load(path)
    values = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 5, 9], np.int64))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 4]))
    onnx.save(proto, path)
    return path


def float_edges(folder: Path) -> Path:
    layout = json.dumps({"image": "nhwc"}).encode()
    return Path(tflite_files.float_edges(folder / "edges.tflite", {"edgecompress.layout": layout}))


def int8_edges(folder: Path) -> Path:
    return Path(tflite_files.int8_edges(folder / "int8.tflite"))


def tflite_operators(folder: Path) -> Path:
    """Many operators, float and int8, a free batch and a custom operator."""
    b = tflite_files.FileBuilder()
    b.tensor("x", (-1, 6, 6, 8), "float32")
    b.op("QUANTIZE", ["x"], [b.tensor("q", (-1, 6, 6, 8))], options=schema.QuantizeOptionsT())
    y = b.conv("q", "conv", (8, 8), 6)
    b.op("ADD", [y, "q"], [b.tensor("sum", (1, 6, 6, 8))], 2, schema.AddOptionsT())
    pool = schema.Pool2DOptionsT(filterWidth=2, filterHeight=2, strideW=2, strideH=2)
    b.op("MAX_POOL_2D", ["sum"], [b.tensor("pool", (1, 3, 3, 8))], 2, pool)
    b.integers("flat_shape", [1, 72])
    b.op("RESHAPE", ["pool", "flat_shape"], [b.tensor("flat", (1, 72))], 1)
    b.linear("flat", "fc", 72, 6, 6)
    b.op("LOGISTIC", ["fc"], [b.tensor("sig", (1, 6), "int8", 1 / 256, -128)], 2)
    parts = [b.tensor(f"part{i}", (1, 3), "int8", 1 / 256, -128) for i in (0, 1)]
    b.op("SPLIT", [b.integers("axis", 1), "sig"], parts, 2, schema.SplitOptionsT(numSplits=2))
    b.tensor("joined", (1, 6), "int8", 1 / 256, -128)
    b.op("CONCATENATION", parts, ["joined"], 2, schema.ConcatenationOptionsT(axis=1))
    b.op("DEQUANTIZE", ["joined"], [b.tensor("real", (1, 6), "float32")], 2)
    b.op("BATCH_MATMUL", ["real", "real"], [b.tensor("bmm", (1, 1), "float32")], 1)
    b.op("OwnOperator", ["bmm"], [b.tensor("out", (1, 1), "float32")])
    return Path(b.save(folder / "operators.tflite", {"x": "x"}, {"out": "y"}))


def tflite_flow(folder: Path) -> Path:
    """WHILE and IF, with their bodies."""
    b = tflite_files.FileBuilder()
    b.tensor("x", (1, 4), "float32")
    loop = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    b.op("WHILE", ["x"], [b.tensor("looped", (1, 4), "float32")], 1, loop)
    b.tensor("yes", (1,), "bool", data=np.array([True]))
    chosen = schema.IfOptionsT(thenSubgraphIndex=2, elseSubgraphIndex=3)
    b.op("IF", ["yes", "looped"], [b.tensor("out", (1, 4), "float32")], 1, chosen)
    for op in ("LESS", "ADD", "TANH"):
        b.new_graph()
        b.tensor("a", (1, 4), "float32")
        inputs = ["a"] if op == "TANH" else ["a", "a"]
        b.op(op, inputs, [b.tensor("b", (1, 4), "bool" if op == "LESS" else "float32")])
    return Path(b.save(folder / "flow.tflite", {"x": "x"}, {"out": "y"}))


KINDS: tuple[Callable[[Path], Path], ...] = (
    qdq,
    float_net,
    after_optimisation,
    control_flow,
    recurrent,
    integer_operators,
    external,
    sparse,
    float_edges,
    int8_edges,
    tflite_operators,
    tflite_flow,
)


def make(folder: Path) -> dict[str, bytes]:
    """Content of every kind, by a name that ends as its files do."""
    found = {}
    for kind in KINDS:
        here = folder / kind.__name__
        here.mkdir()
        path = kind(here)
        found[f"{kind.__name__}{path.suffix}"] = path.read_bytes()
    return found
