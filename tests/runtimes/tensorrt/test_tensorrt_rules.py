"""Each of TensorRT's rules: a file that breaks it and no other, and files that keep them all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import GraphBuilder

from edgecompress.errors import ArtifactError
from edgecompress.runtimes.tensorrt.rules import RULES, Violation, opsets_of, tensorrt_violations

Release = tuple[int, int]
RELEASES: tuple[Release, ...] = ((8, 5), (8, 6), (10, 3), (10, 9), (11, 0))


def quantised(g: GraphBuilder, x: str, **options: object) -> str:
    """Q/DQ as TensorRT wants it, but for `options`."""
    return g.qdq(x, f"{x}_step", **{"zero_point": 0, "dtype": np.int8, **options})


def weight(g: GraphBuilder, name: str, shape: tuple[int, ...], **options: object) -> str:
    """Float weights -> Q -> DQ, with a scale per output channel."""
    scale = np.full(shape[0], 0.01, np.float32)
    stored = g.weight(f"{name}.weight", shape)
    return quantised(g, stored, **{"scale": scale, "axis": 0, **options})


def conv(g: GraphBuilder, x: str, name: str, channels: int = 4, **options: object) -> str:
    w = weight(g, name, (channels, 4, 3, 3), **options)
    return g.node("Conv", [x, w], name, pads=[1] * 4)


def good(g: GraphBuilder) -> str:
    return quantised(g, conv(g, quantised(g, g.input("x", (1, 4, 8, 8))), "conv"))


def residual(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    return quantised(g, g.node("Add", [conv(g, x, "conv"), x], "sum"))


def found(
    build: Callable[[GraphBuilder], str], folder: Path, release: Release, opset: int, **more: bool
) -> tuple[Violation, ...]:
    g = GraphBuilder()
    out = build(g)
    g.output(out, (1, 4, 8, 8))
    return tensorrt_violations(g.save(folder / "m.onnx", opset), release, **more)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("build", [good, residual])
def test_a_good_file_breaks_no_rule(
    build: Callable[[GraphBuilder], str], release: Release, tmp_path: Path
) -> None:
    assert found(build, tmp_path, release, opset=17) == ()


def zero_point(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)), zero_point=-3)
    return quantised(g, conv(g, x, "conv"))


def uint8(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)), dtype=np.uint8)
    return quantised(g, conv(g, x, "conv"))


def int32_bias(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    stored = g.constant("conv.bias", np.zeros(4, np.int32))
    bias = g.node("DequantizeLinear", [stored, *g.scale("bias", 0.1, 0, np.int32)], "bias_dq")
    return quantised(g, g.node("Conv", [x, weight(g, "conv", (4, 4, 1, 1)), bias], "conv"))


def no_scale(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)), scale=0.0)
    return quantised(g, conv(g, x, "conv"))


def computed_scale(g: GraphBuilder) -> str:
    x = g.input("x", (1, 4, 8, 8))
    scale = g.node("ReduceMax", [x], "range", keepdims=0)
    zero = g.constant("zero", np.array(0, np.int8))
    q = g.node("QuantizeLinear", [x, scale, zero], "x_q")
    dq = g.node("DequantizeLinear", [q, *g.scale("x", 0.05, 0, np.int8)], "x_dq")
    return quantised(g, conv(g, dq, "conv"))


def no_zero_point(g: GraphBuilder) -> str:
    x = g.input("x", (1, 4, 8, 8))
    scale, zero = g.scale("x", 0.05, 0, np.int8)
    q = g.node("QuantizeLinear", [x, scale, zero], "x_q")
    dq = g.node("DequantizeLinear", [q, scale], "x_dq")
    return quantised(g, conv(g, dq, "conv"))


def activation_per_channel(g: GraphBuilder) -> str:
    scale = np.full(4, 0.05, np.float32)
    x = quantised(g, g.input("x", (1, 4, 8, 8)), scale=scale, axis=1)
    return quantised(g, conv(g, x, "conv"))


def wrong_axis(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    return quantised(g, conv(g, x, "conv", axis=2))


def per_channel_without_axis(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    stored = g.weight("conv.weight", (4, 4, 3, 3))
    w = quantised(g, stored, scale=np.full(4, 0.01, np.float32))
    return quantised(g, g.node("Conv", [x, w], "conv", pads=[1] * 4))


def folded(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    return quantised(g, g.node("Conv", [x, g.int8_weight("conv", (4, 4, 1, 1))], "conv"))


def integer_conv(g: GraphBuilder) -> str:
    w = g.constant("w", np.ones((4, 4, 1, 1), np.int8))
    product = g.node("ConvInteger", [g.input("x", (1, 4, 8, 8), TensorProto.INT8), w], "conv")
    return g.node("Cast", [product], "y", to=TensorProto.FLOAT)


def integer_matmul(g: GraphBuilder) -> str:
    w = g.constant("w", np.ones((8, 8), np.int8))
    product = g.node("MatMulInteger", [g.input("x", (1, 4, 8, 8), TensorProto.INT8), w], "mul")
    return g.node("Cast", [product], "y", to=TensorProto.FLOAT)


def dynamic(g: GraphBuilder) -> str:
    x = g.input("x", (1, 4, 8, 8))
    names = ["q", "range", "zero"]
    g.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], names, name="dynamic"))
    return g.node("Mul", [x, "range"], "y")


def contributed(g: GraphBuilder) -> str:
    return g.node("QuickGelu", [g.input("x", (1, 4, 8, 8))], "y", domain="com.microsoft")


def layer_norm(g: GraphBuilder) -> str:
    x = g.input("x", (1, 4, 8, 8))
    return g.node("LayerNormalization", [x, g.weight("norm.weight", (8,))], "norm")


def output_dtype(g: GraphBuilder) -> str:
    x = g.input("x", (1, 4, 8, 8))
    parameters = g.scale("x", 0.05, 0, np.int8)
    q = g.node("QuantizeLinear", [x, *parameters], "x_q", output_dtype=TensorProto.UINT8)
    dq = g.node("DequantizeLinear", [q, *parameters], "x_dq")
    return quantised(g, conv(g, dq, "conv"))


def naive_residual(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    return quantised(g, g.node("Add", [quantised(g, conv(g, x, "conv")), x], "sum"))


def two_bare_branches(g: GraphBuilder) -> str:
    x = quantised(g, g.input("x", (1, 4, 8, 8)))
    return quantised(g, g.node("Add", [conv(g, x, "a"), conv(g, x, "b")], "sum"))


def float_branch(g: GraphBuilder) -> str:
    raw = g.input("x", (1, 4, 8, 8))
    return quantised(g, g.node("Add", [conv(g, quantised(g, raw), "conv"), raw], "sum"))


ORIN: Release = (10, 3)
BROKEN: list[tuple[str, Callable[[GraphBuilder], str], Release, int, str]] = [
    ("zero-point-0", zero_point, ORIN, 17, "is -3"),
    ("int8", uint8, ORIN, 17, "uint8"),
    ("int8", int32_bias, ORIN, 17, "int32"),
    ("scale", no_scale, ORIN, 17, "scale of 0"),
    ("scale", computed_scale, ORIN, 17, "computed"),
    ("zero-point-input", no_zero_point, (8, 6), 17, "8.6 wants that input"),
    ("per-channel", activation_per_channel, ORIN, 17, "one per tensor"),
    ("per-channel", wrong_axis, ORIN, 17, "4 scales for the 3 channels along axis 2"),
    ("per-channel", per_channel_without_axis, ORIN, 12, "opset 13"),
    ("opset", good, (8, 6), 18, "reads 7 to 17"),
    ("opset", good, ORIN, 21, "reads 9 to 20"),
    ("int8-constants", folded, (8, 2), 13, "float weights"),
    ("operators", integer_conv, ORIN, 17, "ConvInteger"),
    ("operators", integer_matmul, ORIN, 17, "MatMulInteger"),
    ("operators", dynamic, ORIN, 17, "DynamicQuantizeLinear"),
    ("operators", contributed, ORIN, 17, "com.microsoft"),
    ("operators", layer_norm, (8, 5), 17, "8.6 has it"),
    ("output-dtype", output_dtype, (10, 9), 21, "is uint8"),
    ("residual-add", naive_residual, ORIN, 17, "'conv_Conv'"),
    ("residual-add", two_bare_branches, ORIN, 17, "'a_Conv' and 'b_Conv'"),
    ("residual-add", float_branch, ORIN, 17, "'x' is not quantised"),
]


@pytest.mark.parametrize(
    ("rule", "build", "release", "opset", "words"),
    BROKEN,
    ids=[f"{case[0]}-{case[1].__name__}-{case[3]}" for case in BROKEN],
)
def test_a_file_that_breaks_one_rule_is_refused_by_its_name(
    rule: str,
    build: Callable[[GraphBuilder], str],
    release: Release,
    opset: int,
    words: str,
    tmp_path: Path,
) -> None:
    broken = found(build, tmp_path, release, opset)
    assert {violation.rule for violation in broken} == {rule}
    assert words in broken[0].text
    line = str(broken[0])
    assert line.startswith(f"{broken[0].node}: ")
    assert line.endswith(f"(rule {rule})")
    assert "\n" not in line
    names = {node.name for node in build_nodes(build)}
    assert {violation.node for violation in broken} <= ({"the file"} if rule == "opset" else names)


def build_nodes(build: Callable[[GraphBuilder], str]) -> list:
    g = GraphBuilder()
    build(g)
    return g.nodes


def test_every_rule_has_a_file_that_breaks_it() -> None:
    assert {case[0] for case in BROKEN} | {"2:4"} == set(RULES)


def test_later_releases_take_what_earlier_ones_refuse(tmp_path: Path) -> None:
    assert found(no_zero_point, tmp_path, (10, 0), 17) == ()
    assert found(folded, tmp_path, (8, 5), 13) == ()
    assert found(layer_norm, tmp_path, (8, 6), 17) == ()
    assert [opsets_of(release)[1] for release in ((8, 6), (10, 3), (10, 9), (10, 13), (11, 4))] == [
        17, 20, 22, 24, 24
    ]  # fmt: skip


def sparse_layers(g: GraphBuilder, keep: int) -> str:
    """Conv, MatMul and Gemm with `keep` numbers in every four along their input channels, and a
    convolution of three channels and a grouped one, which no sparse kernel takes.
    """

    def stored(name: str, shape: tuple[int, ...], axis: int) -> str:
        array = np.ones(shape, np.float32)
        fours = np.moveaxis(array, axis, -1).reshape(-1, 4)
        fours[:, keep:] = 0
        whole = fours.reshape(np.moveaxis(array, axis, -1).shape)
        return g.constant(f"{name}.weight", np.ascontiguousarray(np.moveaxis(whole, -1, axis)))

    x = g.node("Conv", [g.input("x", (1, 3, 4, 4)), g.weight("stem.weight", (8, 3, 1, 1))], "stem")
    x = g.node("Conv", [x, g.weight("grouped.weight", (8, 4, 1, 1))], "grouped", group=2)
    w = quantised(g, stored("conv", (8, 8, 1, 1), 1))
    x = g.node("Flatten", [g.node("Conv", [x, w], "conv")], "flat")
    turned = g.node("Transpose", [quantised(g, stored("mul", (12, 128), 1))], "t", perm=[1, 0])
    x = g.node("MatMul", [x, turned], "mul")
    x = g.node("Gemm", [x, stored("tall", (12, 4), 0)], "tall")
    return g.node("Gemm", [x, stored("wide", (128, 4), 1)], "wide", transB=1)


def test_weights_that_are_not_2_4_are_named(tmp_path: Path) -> None:
    for keep, nodes in ((2, []), (3, ["conv_Conv", "mul_MatMul", "tall_Gemm", "wide_Gemm"])):
        g = GraphBuilder()
        g.output(sparse_layers(g, keep), (1, 128))
        path = g.save(tmp_path / "m.onnx", 17)
        broken = tensorrt_violations(path, ORIN, sparse=True)
        assert [violation.node for violation in broken] == nodes
        assert {violation.rule for violation in broken} <= {"2:4"}
        assert tensorrt_violations(path, ORIN) == ()
        kept = tensorrt_violations(path, ORIN, sparse=True, dense=("conv", "mul"))
        assert [violation.node for violation in kept] == nodes[2:]
    assert "16 of 16 fours" in broken[0].text


def test_what_is_no_onnx_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("hello")
    with pytest.raises(ArtifactError, match="not an ONNX"):
        tensorrt_violations(tmp_path / "m.onnx", ORIN)
