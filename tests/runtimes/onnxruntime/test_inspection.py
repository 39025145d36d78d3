from collections import Counter

import numpy as np
import pytest
from onnx_models import (
    MACHINE,
    ON_X86,
    RESIDUAL_MACS,
    RUNTIME,
    GraphBuilder,
    inspected,
    multiplying,
    only,
    optimised,
    quantized,
    residual_net,
)
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic

from edgecompress.errors import ArtifactError
from edgecompress.report.layer_types import between_compute
from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx
from edgecompress.spec.measurement import Inspection

BLOCK_CONV = 64 * 8 * 8 * 9


def test_uint8_residual_net_is_int8_throughout(tmp_path):
    inspection = inspected(quantized(residual_net().save(tmp_path / "m.onnx")))

    kinds = Counter(op.op_type for op in inspection.ops)
    assert kinds["QLinearConv"] == 5
    assert kinds["QLinearAdd"] == 2
    assert kinds["QLinearGlobalAveragePool"] == 1
    assert kinds["QGemm"] == 1
    assert inspection.macs == RESIDUAL_MACS
    assert inspection.int8_op_fraction == 1.0
    assert between_compute(inspection) == ()
    assert {op.op_type: op.reason for op in inspection.ops if op.dtype != "int8"} == {
        "QuantizeLinear": "converts the model's float input once",
        "DequantizeLinear": "converts the model's output to float once",
    }
    assert (inspection.runtime, inspection.machine) == (RUNTIME, MACHINE)


@pytest.mark.skipif(not ON_X86, reason="ONNX Runtime refuses int8 activations on x86 only")
def test_int8_activations_on_x86_leave_shared_tensors_in_float(tmp_path):
    inspection = inspected(quantized(residual_net().save(tmp_path / "m.onnx"), QuantType.QInt8))

    by_name = {op.name: op for op in multiplying(inspection)}
    floats = {name: op for name, op in by_name.items() if op.dtype == "float32"}
    assert sorted(floats) == ["block0.conv1_Conv", "block1.conv1_Conv", "stem_Conv"]
    shared = "is shared by Add and Conv while activations are int8 (on x86 ONNX Runtime fuses only"
    assert all(shared in (op.reason or "") for op in floats.values())
    assert (floats["stem_Conv"].reason or "").startswith("its output")
    assert (floats["block1.conv1_Conv"].reason or "").startswith("its input")
    adds = [op for op in inspection.ops if op.op_type == "Add"]
    assert len(adds) == 2
    assert all(shared in (op.reason or "") for op in adds)
    assert inspection.int8_op_fraction == pytest.approx((2 * BLOCK_CONV + 80) / RESIDUAL_MACS)
    assert len(between_compute(inspection)) > 0
    assert all(op.reason for op in inspection.ops if op.dtype == "float32")


@pytest.mark.skipif(not ON_X86, reason="needs a graph that was optimised on x86")
def test_other_machines_are_not_told_about_x86(tmp_path):
    path = quantized(residual_net().save(tmp_path / "m.onnx"), QuantType.QInt8)

    reasons = [op.reason or "" for op in inspected(path, machine="aarch64").ops]

    assert not any("x86" in reason for reason in reasons)


def test_int8_in_the_name_only(tmp_path):
    inspection = inspected(residual_net().save(tmp_path / "model-int8-quantized.onnx"))

    assert inspection.int8_op_fraction == 0.0
    assert inspection.macs == RESIDUAL_MACS
    assert {op.reason for op in multiplying(inspection)} == {"the file is not quantised"}


def test_int8_weights_with_float_activations_run_in_float(tmp_path):
    g = GraphBuilder()
    g.input("x", (1, 4, 8, 8))
    g.node("Conv", ["x", g.int8_weight("conv", (8, 4, 3, 3))], "y")
    g.output("y", (1, 8, 6, 6))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert inspection.int8_op_fraction == 0.0
    conv = only(inspection, "Conv", "FusedConv")
    assert conv.reason == "its input 'x' is not quantised (no DequantizeLinear feeds it)"


def test_fp32_channels_that_pad_a_register_do_not_count(tmp_path):
    g = GraphBuilder()
    x = g.conv(g.input("x", (1, 3, 8, 8)), "a", (10, 3, 3, 3), relu=True, pads=[1] * 4)
    x = g.conv(x, "b", (5, 10, 3, 3), relu=True, pads=[1] * 4)
    g.output(x, (1, 5, 8, 8))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert inspection.macs == 64 * 9 * (10 * 3 + 5 * 10)


def test_fp32_upsampling_between_convolutions_is_read(tmp_path):
    """ONNX Runtime's own Upsample has its scales as an attribute, not as a second input."""
    g = GraphBuilder()
    x = g.conv(g.input("x", (1, 16, 4, 4)), "a", (16, 16, 3, 3), pads=[1] * 4)
    scales = g.constant("scales", np.array([1, 1, 2, 2], np.float32))
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    x = g.node("Resize", [x, "", scales], "up", nearest_mode="floor", **how)
    x = g.conv(x, "b", (16, 16, 3, 3), pads=[1] * 4)
    g.output(x, (1, 16, 8, 8))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert inspection.macs == 16 * 16 * 9 * (16 + 64)
    if ON_X86:
        assert "Upsample" in {op.op_type for op in inspection.ops}


def test_operator_format_is_read_too(tmp_path):
    path = residual_net().save(tmp_path / "m.onnx")

    inspection = inspected(quantized(path, quant_format=QuantFormat.QOperator))

    assert inspection.macs == RESIDUAL_MACS
    assert inspection.int8_op_fraction == 1.0


def test_dynamic_quantisation_is_int8_with_conversions_at_run_time(tmp_path):
    g = GraphBuilder()
    x = g.node("MatMul", [g.input("x", ("batch", 32)), g.weight("a.weight", (32, 16))], "a")
    g.node("MatMul", [g.node("Relu", [x], "r"), g.weight("b.weight", (16, 4))], "b")
    g.output("b", ("batch", 4))
    path = g.save(tmp_path / "m.onnx")
    dynamic = tmp_path / "dynamic.onnx"
    quantize_dynamic(path, dynamic)

    inspection = inspected(dynamic)

    assert inspection.macs == 32 * 16 + 16 * 4
    assert inspection.int8_op_fraction == 1.0
    assert {op.op_type for op in multiplying(inspection)} == {"DynamicQuantizeMatMul"}


def test_free_batch_counts_as_one_and_a_fixed_one_as_it_is(tmp_path):
    def gemm_macs(batch: int | str) -> int:
        g = GraphBuilder()
        g.gemm(g.input("x", (batch, 6)), "y", 5, 6)
        g.output("y", (batch, 5))
        return inspected(g.save(tmp_path / f"{batch}.onnx")).macs

    assert gemm_macs("batch") == 30
    assert gemm_macs(4) == 120


def test_shape_arithmetic_on_a_free_batch_is_followed(tmp_path):
    """x.view(x.shape[0], -1), as exporters write it."""
    g = GraphBuilder()
    x = g.conv(g.input("x", ("batch", 2, 6, 6)), "conv", (4, 2, 3, 3))
    batch = g.node("Gather", [g.node("Shape", ["x"], "shape"), g.constant("zero", _ints(0))], "n")
    size = g.node("Concat", [batch, g.constant("rest", _ints(-1))], "size", axis=0)
    g.gemm(g.node("Reshape", [x, size], "flat"), "fc", 7, 64)
    g.output("fc", ("batch", 7))
    path = g.save(tmp_path / "m.onnx")

    for file in (path, quantized(path)):
        inspection = inspected(file)
        assert inspection.macs == 16 * 4 * 2 * 9 + 7 * 64
        assert all(op.dtype == "int64" for op in inspection.ops if op.op_type == "Shape")


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_several_inputs_and_outputs(tmp_path):
    g = GraphBuilder()
    a = g.conv(g.input("a", (1, 3, 8, 8)), "conv_a", (8, 3, 3, 3), pads=[1] * 4)
    b = g.conv(g.input("b", (1, 4, 8, 8)), "conv_b", (8, 4, 1, 1))
    g.node("Concat", [a, b], "both", axis=1)
    g.conv("both", "head", (2, 16, 1, 1))
    g.output("head", (1, 2, 8, 8))
    g.output(g.node("GlobalAveragePool", ["both"], "pool"), (1, 16, 1, 1))

    inspection = inspected(quantized(g.save(tmp_path / "m.onnx")))

    assert inspection.macs == 64 * (8 * 3 * 9 + 8 * 4 + 2 * 16)
    assert inspection.int8_op_fraction == 1.0
    assert only(inspection, "QLinearConcat").dtype == "int8"
    quantizers = [op for op in inspection.ops if op.op_type == "QuantizeLinear"]
    assert [op.reason for op in quantizers] == ["converts the model's float input once"] * 2


def test_integer_pooling_and_moves_carry_int8(tmp_path):
    g = GraphBuilder()
    x = g.conv(g.input("x", (1, 4, 8, 8)), "conv", (8, 4, 3, 3), relu=True, pads=[1] * 4)
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Reshape", [x, g.constant("shape", _ints(1, -1))], "flat")
    g.gemm(x, "fc", 3, 128)
    g.output("fc", (1, 3))

    inspection = inspected(quantized(g.save(tmp_path / "m.onnx")))

    moving = [op for op in inspection.ops if op.op_type in ("Reshape", "Transpose")]
    assert only(inspection, "MaxPool", "NhwcMaxPool").dtype == "int8"
    assert moving
    assert all(op.dtype == "int8" and op.reason is None for op in moving)


def test_json_round_trip(tmp_path):
    inspection = inspected(quantized(residual_net(1).save(tmp_path / "m.onnx")))

    assert Inspection.model_validate_json(inspection.model_dump_json()) == inspection


def test_missing_optimised_graph(tmp_path):
    path = residual_net(1).save(tmp_path / "m.onnx")

    with pytest.raises(ArtifactError, match=r"gone\.onnx: cannot be read"):
        inspect_onnx(path, tmp_path / "gone.onnx", RUNTIME, MACHINE)


def test_sizes_that_are_not_fixed_are_refused_by_name(tmp_path):
    g = GraphBuilder()
    x = g.conv(g.input("x", (1, 3, "height", "width")), "conv", (4, 3, 3, 3))
    g.output(x, (1, 4, "h", "w"))
    path = g.save(tmp_path / "m.onnx")

    with pytest.raises(ArtifactError, match=r"MACs of Conv 'conv_\w+' cannot be counted.*fixed"):
        inspected(path)


def test_multiplications_in_a_loop_are_refused(tmp_path):
    path = _looping_matmul().save(tmp_path / "m.onnx")

    with pytest.raises(ArtifactError, match="unknown number of times, inside a Loop or Scan"):
        inspect_onnx(path, path, RUNTIME, MACHINE)


def _looping_matmul() -> GraphBuilder:
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], name="inner"),
            helper.make_node("Identity", ["again"], ["go"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, ()),
            helper.make_tensor_value_info("again", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, (1, 4)),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, (1, 4)),
        ],
    )
    g = GraphBuilder()
    g.input("x", (1, 4))
    g.input("times", (), TensorProto.INT64)
    g.weight("w", (4, 4))
    g.node("Loop", ["times", "", "x"], "y", body=body)
    g.output("y", (1, 4))
    return g


def test_a_deep_net_needs_no_deep_stack(tmp_path):
    g = GraphBuilder()
    x = g.input("x", (1, 4))
    for index in range(1500):
        x = g.qdq(x, f"s{index}")
        x = g.node("Sigmoid", [x], f"y{index}")
    g.output(x, (1, 4))
    path = g.save(tmp_path / "m.onnx")

    inspection = inspect_onnx(path, path, RUNTIME, MACHINE)

    assert sum(op.op_type == "Sigmoid" for op in inspection.ops) == 1500


def test_optimised_file_is_left_alone(tmp_path):
    path = residual_net(1).save(tmp_path / "m.onnx")
    running = optimised(path)
    before = running.read_bytes(), path.read_bytes()

    inspect_onnx(path, running, RUNTIME, MACHINE)

    assert (running.read_bytes(), path.read_bytes()) == before
