"""The type that each operator would compute in, by the Q/DQ round it, and why it is float."""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto
from onnx_models import GraphBuilder, only

from edgecompress.report.layer_types import layer_dtypes
from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt
from edgecompress.spec.measurement import Inspection


def step(g: GraphBuilder, x: str) -> str:
    return g.qdq(x, f"{x}_step", zero_point=0, dtype=np.int8)


def conv(g: GraphBuilder, x: str, name: str) -> str:
    w = g.qdq(g.weight(f"{name}.weight", (4, 4, 3, 3)), f"{name}_w", zero_point=0, dtype=np.int8)
    return g.node("Conv", [x, w, g.weight(f"{name}.bias", (4,))], name, pads=[1] * 4)


def inspected(g: GraphBuilder, out: str, path: Path, **metadata: str) -> Inspection:
    g.output(out, (1, 4, 8, 8))
    return inspect_tensorrt(g.save(path / "m.onnx", 20, metadata), (10, 3))


def image(g: GraphBuilder) -> str:
    return g.input("x", (1, 4, 8, 8))


def test_a_residual_block_is_int8_throughout(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = step(g, image(g))
    added = g.node("Add", [conv(g, x, "block"), x], "sum")
    moved = g.node(
        "Transpose", [step(g, g.node("Relu", [added], "relu"))], "turn", perm=[0, 1, 3, 2]
    )
    found = inspected(g, moved, tmp_path)

    assert found.runtime == "TensorRT 10.3 (by its rules; not run)"
    assert [(op.op_type, op.dtype) for op in found.ops] == [
        ("QuantizeLinear", "float32"),
        ("Conv", "int8"),
        ("Add", "int8"),
        ("Relu", "int8"),
        ("Transpose", "int8"),
    ]
    assert found.macs == only(found, "Conv").macs == 4 * 64 * 4 * 9
    assert found.int8_op_fraction == 1.0
    assert found.violations == ()
    assert only(found, "QuantizeLinear").reason == "quantises what the caller wrote in float"
    assert layer_dtypes(found)["block"].dtype == "int8"


def test_float_operators_have_their_reason(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = conv(g, image(g), "first")
    x = step(g, g.node("Softmax", [step(g, x)], "soft"))
    weight = g.weight("last.weight", (4, 4, 1, 1))
    x = g.node("Conv", [x, weight], "last")
    found = inspected(g, x, tmp_path)

    reasons = {op.name: op.reason for op in found.ops if op.dtype == "float32"}
    assert reasons["first_Conv"] == "its input 'x' is not quantised (no DequantizeLinear feeds it)"
    assert reasons["soft_Softmax"] == "TensorRT has no int8 kernel for Softmax"
    assert reasons["last_Conv"] == ("float weights 'last.weight' (no DequantizeLinear feeds it)")
    assert found.int8_op_fraction == 0.0
    assert all(op.reason for op in found.ops)


def test_what_the_graph_casts_to_float16_is_float16(tmp_path: Path) -> None:
    g = GraphBuilder()
    half = g.node("Cast", [step(g, image(g))], "half", to=TensorProto.FLOAT16)
    soft = g.node("Softmax", [half], "soft")
    single = g.node("Cast", [soft], "single", to=TensorProto.FLOAT)
    huge = g.constant("huge", np.array(-1e9, np.float32))
    masked = g.node("Add", [single, huge], "mask")
    found = inspected(g, step(g, masked), tmp_path)

    assert only(found, "Softmax").dtype == "float16"
    reason = only(found, "Add").reason
    assert reason is not None
    assert reason.endswith("; -1e+09 does not fit float16")


def test_a_layer_that_the_recipe_keeps_in_float_says_so(tmp_path: Path) -> None:
    g = GraphBuilder()
    w = g.weight("kept.weight", (4, 4, 3, 3))
    x = g.node("Conv", [step(g, image(g)), w], "kept", pads=[1] * 4)
    keep = {"edgecompress.keep_float": json.dumps(["kept"])}
    found = inspected(g, step(g, x), tmp_path, **keep)
    assert only(found, "Conv").reason == "kept in float by the recipe"


def test_a_file_without_q_dq_is_float_and_breaks_no_rule(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = g.node("Relu", [g.conv(image(g), "conv", (4, 4, 1, 1))], "relu")
    found = inspected(g, x, tmp_path)
    assert {op.reason for op in found.ops} == {"the file is not quantised"}
    assert found.violations == ()


def test_violations_are_listed_with_node_and_rule(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = g.qdq(image(g), "x_step", zero_point=128)
    found = inspected(g, step(g, conv(g, x, "conv")), tmp_path)
    assert found.violations[0] == (
        "x_step_q_QuantizeLinear: its zero point is 128; TensorRT quantises symmetrically,"
        " with 0 (rule zero-point-0)"
    )
    assert len(found.violations) == 4  # zero point and type, of Q and of DQ
