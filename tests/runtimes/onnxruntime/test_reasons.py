"""Each reason, provoked in a real graph that ONNX Runtime optimised."""

import json

import numpy as np
import pytest
from onnx_models import (
    ON_X86,
    RUNTIME,
    GraphBuilder,
    inspected,
    only,
    quantized,
    residual_net,
)
from onnxruntime import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import Fail as RuntimeException
from onnxruntime.quantization import QuantType

from edgecompress.report.layer_types import between_compute
from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx
from edgecompress.spec.measurement import Inspection, Op

x86_only = pytest.mark.skipif(not ON_X86, reason="a rule of ONNX Runtime on x86")


def conv_between(before, after) -> GraphBuilder:
    """A quantised 3x3 convolution; `before` and `after` put Q/DQ round it, or something else."""
    g = GraphBuilder()
    x = before(g, g.input("x", (1, 4, 8, 8)))
    g.node("Conv", [x, g.int8_weight("conv", (8, 4, 3, 3))], "y")
    out = after(g, "y")
    g.output(out, (1, 8, 6, 6))
    return g


def plain(g: GraphBuilder, x: str) -> str:
    return g.qdq(x, f"{x}_step")


def float_conv(g: GraphBuilder, tmp_path, opset: int = 20) -> Op:
    return only(inspected(g.save(tmp_path / "m.onnx", opset)), "Conv", "FusedConv")


def test_the_fixture_itself_is_int8(tmp_path):
    inspection = inspected(conv_between(plain, plain).save(tmp_path / "m.onnx"))

    assert inspection.int8_op_fraction == 1.0
    assert only(inspection, "QLinearConv").reason is None


def test_input_not_quantised(tmp_path):
    op = float_conv(conv_between(lambda g, x: x, plain), tmp_path)

    assert op.dtype == "float32"
    assert op.reason == "its input 'x' is not quantised (no DequantizeLinear feeds it)"


def test_output_not_quantised_at_the_end_of_the_model(tmp_path):
    op = float_conv(conv_between(plain, lambda g, y: y), tmp_path)

    assert op.reason == "its output is not quantised (it is the model's output)"


def test_output_not_quantised_because_of_a_float_reader(tmp_path):
    def erf(g: GraphBuilder, y: str) -> str:
        return plain(g, g.node("Erf", [y], "erf"))

    g = conv_between(plain, erf)
    path = g.save(tmp_path / "m.onnx")
    inspection = inspected(path)

    assert only(inspection, "Conv", "FusedConv").reason == (
        "its output is not quantised (no QuantizeLinear follows; Erf 'erf_Erf' reads it)"
    )
    assert only(inspection, "Erf").reason == "ONNX Runtime has no int8 kernel for Erf"


def test_output_read_in_float_besides_being_quantised(tmp_path):
    def both(g: GraphBuilder, y: str) -> str:
        return g.node("Sub", [plain(g, y), y], "difference")

    op = float_conv(conv_between(plain, both), tmp_path)

    assert op.reason == ("its output is not only quantised: Sub 'difference_Sub' reads it in float")


@pytest.mark.parametrize("side", ["input", "output"])
def test_per_channel_activation_scale_keeps_a_gemm_in_float(tmp_path, side):
    per_channel = {"scale": np.linspace(0.01, 0.05, 8), "axis": 1}
    g = GraphBuilder()
    x = g.qdq(g.input("x", (1, 8)), "in", **(per_channel if side == "input" else {}))
    g.node("Gemm", [x, g.int8_weight("fc", (8, 8))], "y")
    g.output(g.qdq("y", "out", **(per_channel if side == "output" else {})), (1, 8))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    name = "in_dq" if side == "input" else "y"
    assert inspection.int8_op_fraction == 0.0
    assert only(inspection, "Gemm", "FusedGemm").reason == (
        f"per-channel activation scale on its {side} '{name}'"
    )


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("group", [1, 4])
def test_a_convolution_that_was_fused_but_fails_is_not_called_int8(tmp_path, side, group):
    per_channel = {"scale": np.linspace(0.01, 0.05, 4), "axis": 1}
    g = GraphBuilder()
    x = g.qdq(g.input("x", (1, 4, 8, 8)), "in", **(per_channel if side == "input" else {}))
    g.node("Conv", [x, g.int8_weight("conv", (4, 4 // group, 3, 3))], "y", group=group)
    g.output(g.qdq("y", "out", **(per_channel if side == "output" else {})), (1, 4, 6, 6))
    path = g.save(tmp_path / "m.onnx")

    op = only(inspected(path), "QLinearConv", "Conv", "FusedConv")

    # Whether ONNX Runtime fuses this depends on its version; neither way is it int8 that runs.
    assert inspected(path).int8_op_fraction == 0.0
    assert f"per-channel activation scale on its {side}" in (op.reason or "")
    assert op.dtype == ("none" if op.op_type == "QLinearConv" else "float32")
    if op.dtype == "none":
        with pytest.raises(RuntimeException, match=r"QLinearConv.*size 1"):
            InferenceSession(path).run(None, {"x": np.zeros((1, 4, 8, 8), np.float32)})


def test_sixteen_bit_activations(tmp_path):
    def wide(g: GraphBuilder, x: str) -> str:
        return g.qdq(x, f"{x}_wide", zero_point=32768, dtype=np.uint16)

    op = float_conv(conv_between(wide, wide), tmp_path, opset=21)

    assert op.reason == "its activations are uint16, not 8 bits wide"


def test_float_weights(tmp_path):
    g = GraphBuilder()
    x = plain(g, g.input("x", (1, 8)))
    g.node("MatMul", [x, g.weight("fc.weight", (8, 4))], "y")
    g.output(plain(g, "y"), (1, 4))

    op = only(inspected(g.save(tmp_path / "m.onnx")), "MatMul")

    assert op.reason == "float weights 'fc.weight' (no DequantizeLinear feeds it)"
    assert op.module == "fc"


def test_a_float_constant_operand(tmp_path):
    g = GraphBuilder()
    x = plain(g, g.input("x", (1, 8)))
    g.node("Mul", [x, g.weight("gain", (8,))], "y")
    g.output(plain(g, "y"), (1, 8))

    op = only(inspected(g.save(tmp_path / "m.onnx")), "Mul")

    assert op.reason == "float constant input 'gain' (no DequantizeLinear feeds it)"


def unoptimised_conv(g: GraphBuilder, tmp_path) -> Op:
    """As the runtime would run it with all optimisations off."""
    path = g.save(tmp_path / "m.onnx")
    return only(inspect_onnx(path, path, RUNTIME, "aarch64"), "Conv")


def test_activations_of_different_types(tmp_path):
    def signed(g: GraphBuilder, y: str) -> str:
        return g.qdq(y, f"{y}_signed", zero_point=0, dtype=np.int8)

    op = unoptimised_conv(conv_between(plain, signed), tmp_path)

    assert op.reason == "its activations are of different types: int8, uint8"


def test_a_clip_among_the_weights(tmp_path):
    """What a quant_min of -127 exports."""
    g = GraphBuilder()
    x = plain(g, g.input("x", (1, 4, 8, 8)))
    scale, zero = g.scale("w", 0.01, 0, np.int8)
    stored = g.node("QuantizeLinear", [g.weight("w", (8, 4, 3, 3)), scale, zero], "w_q")
    limits = [g.constant("low", np.int8(-127)), g.constant("high", np.int8(127))]
    clipped = g.node("Clip", [stored, *limits], "w_c")
    g.node("Conv", [x, g.node("DequantizeLinear", [clipped, scale, zero], "w_dq")], "y")
    g.output(plain(g, "y"), (1, 8, 6, 6))

    op = unoptimised_conv(g, tmp_path)

    assert op.reason == "a Clip stands between QuantizeLinear and DequantizeLinear of its weights"


def test_quantised_on_all_sides_and_still_float_is_said_so(tmp_path):
    op = unoptimised_conv(conv_between(plain, plain), tmp_path)

    assert op.reason == "it is quantised on all sides, but ONNX Runtime did not fuse it"


def test_no_kernel_for_it(tmp_path):
    g = GraphBuilder()
    x = plain(g, g.input("x", (1, 6, 16)))
    norm = [x, g.weight("gain", (16,)), g.weight("shift", (16,))]
    x = plain(g, g.node("LayerNormalization", norm, "norm"))
    x = plain(g, g.node("Gelu", [x], "gelu"))
    x = plain(g, g.node("MatMul", [x, g.int8_weight("out", (16, 4))], "out"))
    g.output(x, (1, 6, 4))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    norm = only(inspection, "LayerNormalization")
    assert (norm.dtype, norm.reason) == (
        "float32",
        "ONNX Runtime has no int8 kernel for LayerNormalization",
    )
    assert only(inspection, "Gelu").reason == "ONNX Runtime has no int8 kernel for Gelu"
    assert only(inspection, "QLinearMatMul").dtype == "int8"
    assert {op.reason for op in between_compute(inspection)} == {
        "quantises what LayerNormalization 'norm_LayerNormalization' wrote in float",
        "feeds Gelu 'gelu_Gelu', which is not int8",
        "quantises what Gelu 'gelu_Gelu' wrote in float",
    }


def test_mean_is_told_what_would_be_int8(tmp_path):
    g = conv_between(plain, plain)
    x = g.outputs.pop().name
    axes = g.constant("axes", np.array([2, 3], np.int64))
    g.output(plain(g, g.node("ReduceMean", [x, axes], "mean", keepdims=1)), (1, 8, 1, 1))

    op = only(inspected(g.save(tmp_path / "m.onnx")), "ReduceMean")

    assert op.reason == "ONNX Runtime has no int8 kernel for ReduceMean; GlobalAveragePool has one"


@pytest.mark.parametrize(("mode", "dtype"), [("nearest", "int8"), ("linear", "float32")])
def test_resize_depends_on_its_mode(tmp_path, mode, dtype):
    g = conv_between(plain, plain)
    x = g.outputs.pop().name
    scales = g.constant("scales", np.array([1, 1, 2, 2], np.float32))
    resized = g.node("Resize", [x, "", scales], "big", mode=mode)
    parameters = ["y_step.scale", "y_step.zero"]
    q = g.node("QuantizeLinear", [resized, *parameters], "big_q")
    g.output(g.node("DequantizeLinear", [q, *parameters], "big_dq"), (1, 8, 12, 12))

    op = only(inspected(g.save(tmp_path / "m.onnx")), "Resize")

    assert op.dtype == dtype
    assert op.reason == (
        None if dtype == "int8" else "ONNX Runtime has no int8 kernel for Resize in mode linear"
    )


@x86_only
def test_int8_activations_on_both_sides_are_fine_where_nothing_is_shared(tmp_path):
    def signed(g: GraphBuilder, x: str) -> str:
        return g.qdq(x, f"{x}_signed", zero_point=0, dtype=np.int8)

    assert inspected(conv_between(signed, signed).save(tmp_path / "m.onnx")).int8_op_fraction == 1


def kept(tmp_path, names: list[str]) -> Inspection:
    """A residual net whose stem was excluded from quantisation."""
    metadata = {"edgecompress.keep_float": json.dumps(names)}
    path = residual_net(1).save(tmp_path / "m.onnx")
    path = quantized(path, nodes_to_exclude=["stem_Conv", "stem_relu_Relu"])
    return inspected(_with_metadata(path, metadata))


def _with_metadata(path, metadata):
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("names", [["stem"], ["stem_Conv"]])
def test_kept_by_the_recipe(tmp_path, names):
    inspection = kept(tmp_path, names)

    reasons = {op.name: op.reason for op in inspection.ops if op.macs and op.dtype != "int8"}
    assert set(reasons.values()) == {"kept in float by the recipe"}
    assert 0.9 * inspection.macs > sum(op.macs for op in inspection.ops if op.dtype == "int8") > 0


def test_a_kept_name_covers_whole_parts_only(tmp_path):
    inspection = kept(tmp_path, ["ste", "stem_Con", "st"])

    reasons = [op.reason for op in inspection.ops if op.macs and op.dtype != "int8"]
    assert len(reasons) == 1
    assert reasons != ["kept in float by the recipe"]


def test_float_that_moves_between_int8_ops_is_explained(tmp_path):
    g = conv_between(plain, plain)
    x = g.outputs.pop().name
    x = g.node("SpaceToDepth", [x], "moved", blocksize=2)
    parameters = ["y_step.scale", "y_step.zero"]
    q = g.node("QuantizeLinear", [x, *parameters], "moved_q")
    x = g.node("DequantizeLinear", [q, *parameters], "moved_dq")
    g.node("Conv", [x, g.int8_weight("head", (4, 32, 1, 1))], "z")
    g.output(plain(g, "z"), (1, 4, 3, 3))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert only(inspection, "SpaceToDepth").reason == (
        "ONNX Runtime left the Q and DQ around this SpaceToDepth in place"
    )
    assert len(between_compute(inspection)) == 2


def test_a_move_that_changes_the_scale_is_explained(tmp_path):
    g = conv_between(plain, plain)
    x = g.outputs.pop().name
    size = g.constant("size", np.array([1, -1], np.int64))
    x = g.qdq(g.node("Reshape", [x, size], "flat"), "other", scale=0.07)
    x = plain(g, g.node("MatMul", [x, g.int8_weight("fc", (288, 4))], "fc"))
    g.output(x, (1, 4))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    reasons = {op.reason for op in inspection.ops if op.dtype == "float32"}
    assert inspection.int8_op_fraction == 1.0
    assert between_compute(inspection)
    assert reasons & {
        "its output is quantised with another scale than its input",
        "changes from one scale to another",
    }


def test_relu6_outside_the_quantised_unit_is_a_clip_between_compute(tmp_path):
    """Convolution, Q/DQ, relu6, Q/DQ, convolution: what a quantizer writes that does not fuse."""
    g = conv_between(plain, plain)
    x = g.outputs.pop().name
    limits = [g.constant("low", np.float32(0)), g.constant("high", np.float32(6))]
    x = g.qdq(g.node("Clip", [x, *limits], "relu6"), "after", zero_point=0)
    g.node("Conv", [x, g.int8_weight("next", (4, 8, 1, 1))], "z")
    g.output(plain(g, "z"), (1, 4, 6, 6))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert inspection.int8_op_fraction == 1.0
    between = between_compute(inspection)
    assert [op.op_type for op in between] == ["DequantizeLinear", "Clip", "QuantizeLinear"]
    assert (between[1].reason or "").startswith("ONNX Runtime has no int8 kernel for Clip")


def test_every_float_op_of_a_quantised_file_has_a_reason(tmp_path):
    for activations in (QuantType.QUInt8, QuantType.QInt8):
        path = quantized(residual_net().save(tmp_path / "m.onnx"), activations)
        for op in inspected(path).ops:
            assert op.dtype == "int8" or op.reason, op
