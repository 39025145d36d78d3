"""MACs against closed forms, for single operators and for random stacks of layers."""

from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import MACHINE, RUNTIME, GraphBuilder, inspected, only, quantized

from edgecompress.errors import ArtifactError
from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx


def conv_net(shape, weight, op="Conv", **attributes) -> GraphBuilder:
    g = GraphBuilder()
    g.input("x", shape)
    g.node(op, ["x", g.weight("w", weight)], "y", **attributes)
    g.output("y", [None] * len(shape))
    return g


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "macs"),
    [
        pytest.param((1, 3, 8, 8), (5, 3, 3, 3), {}, 36 * 5 * 3 * 9, id="plain"),
        pytest.param((1, 8, 8, 8), (8, 1, 3, 3), {"group": 8}, 36 * 8 * 9, id="depthwise"),
        pytest.param((1, 6, 8, 8), (4, 3, 1, 1), {"group": 2}, 64 * 4 * 3, id="grouped"),
        pytest.param(
            (1, 3, 9, 7), (4, 3, 3, 3), {"strides": [2, 3], "pads": [1] * 4},
            5 * 3 * 4 * 27, id="strided",
        ),
        pytest.param(
            (1, 3, 9, 9), (4, 3, 3, 3), {"dilations": [2, 2]}, 25 * 4 * 27, id="dilated"
        ),
        pytest.param(
            (1, 3, 9, 9), (4, 3, 2, 2), {"auto_pad": "SAME_UPPER"}, 81 * 4 * 12, id="same"
        ),
        pytest.param((1, 4, 20), (6, 4, 5), {"strides": [2]}, 8 * 6 * 4 * 5, id="1-D"),
        pytest.param((1, 2, 4, 6, 6), (3, 2, 3, 3, 3), {}, 2 * 4 * 4 * 3 * 2 * 27, id="3-D"),
    ],
)  # fmt: skip
def test_convolutions(tmp_path, shape, weight, attributes, macs):
    path = conv_net(shape, weight, **attributes).save(tmp_path / "m.onnx")

    before, after = inspected(path), inspected(quantized(path))

    assert before.macs == macs
    assert after.macs == macs
    assert after.int8_op_fraction == 1.0
    assert only(after, "QLinearConv").macs == macs


def test_transposed_convolution_stays_float(tmp_path):
    g = conv_net((1, 4, 5, 5), (4, 3, 4, 4), "ConvTranspose", strides=[2, 2], group=2)
    path = g.save(tmp_path / "m.onnx")

    inspection = inspected(path)
    after = inspected(quantized(path, op_types_to_quantize=["ConvTranspose"], per_channel=False))

    assert inspection.macs == 25 * 4 * 3 * 16
    assert after.macs == inspection.macs
    assert after.int8_op_fraction == 0.0
    op = only(after, "ConvTranspose")
    assert op.reason == "ONNX Runtime has no int8 kernel for ConvTranspose"


@pytest.mark.parametrize(
    ("left", "right", "macs"),
    [
        ((1, 6), (6, 5), 30),
        ((1, 7, 6), (6, 5), 7 * 30),
        ((1, 4, 7, 6), (1, 4, 6, 7), 4 * 49 * 6),
        ((1, 4, 7, 6), (4, 6, 2), 4 * 7 * 6 * 2),
        ((6,), (6,), 6),
    ],
)
def test_matmul_of_two_inputs(tmp_path, left, right, macs):
    g = GraphBuilder()
    g.node("MatMul", [g.input("a", left), g.input("b", right)], "y")
    g.output("y", np.matmul(np.zeros(left), np.zeros(right)).shape)
    path = g.save(tmp_path / "m.onnx")

    assert inspected(path).macs == macs
    after = inspected(quantized(path, per_channel=False))
    assert after.macs == macs
    assert after.int8_op_fraction == 1.0


def test_transposed_gemm(tmp_path):
    g = GraphBuilder()
    g.node("Gemm", [g.input("a", (6, 2)), g.weight("b", (6, 5))], "y", transA=1)
    g.output("y", (2, 5))

    assert inspected(g.save(tmp_path / "m.onnx")).macs == 2 * 5 * 6


@pytest.mark.parametrize(
    ("equation", "left", "right", "out", "macs"),
    [
        ("bij,bkj->bik", (1, 4, 6), (1, 5, 6), (1, 4, 5), 120),
        ("...ij,...jk->...ik", (2, 3, 4, 6), (2, 1, 6, 5), (2, 3, 4, 5), 6 * 120),
        ("i,j->ij", (4,), (6,), (4, 6), 24),
    ],
)
def test_einsum(tmp_path, equation, left, right, out, macs):
    g = GraphBuilder()
    g.node("Einsum", [g.input("a", left), g.input("b", right)], "y", equation=equation)
    g.output("y", out)

    assert inspected(g.save(tmp_path / "m.onnx")).macs == macs


def test_lstm(tmp_path):
    steps, width, hidden = 7, 5, 6
    g = GraphBuilder()
    inputs = [
        g.input("x", (steps, 1, width)),
        g.weight("w", (1, 4 * hidden, width)),
        g.weight("r", (1, 4 * hidden, hidden)),
    ]
    g.node("LSTM", inputs, "y", hidden_size=hidden)
    g.output("y", (steps, 1, 1, hidden))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert inspection.macs == steps * 4 * hidden * (width + hidden)


def test_attention_of_onnxruntime(tmp_path):
    tokens, width = 9, 32
    g = GraphBuilder()
    inputs = [
        g.input("x", (1, tokens, width)),
        g.weight("w", (width, 3 * width)),
        g.weight("b", (3 * width,)),
    ]
    g.node("Attention", inputs, "y", domain="com.microsoft", num_heads=4)
    g.output("y", (1, tokens, width))

    inspection = inspected(g.save(tmp_path / "m.onnx"))

    assert inspection.macs == tokens * width * 3 * width + 2 * tokens * tokens * width
    assert only(inspection, "Attention").dtype == "float32"


def test_standard_attention_with_grouped_heads(tmp_path):
    g = GraphBuilder()
    g.node(
        "Attention",
        [g.input("q", (1, 8, 5, 4)), g.input("k", (1, 2, 7, 4)), g.input("v", (1, 2, 7, 6))],
        "y",
    )
    g.output("y", (1, 8, 5, 6))
    path = g.save(tmp_path / "m.onnx", opset=23)

    assert inspect_onnx(path, path, RUNTIME, MACHINE).macs == 8 * 5 * 7 * (4 + 6)


def test_operators_that_cannot_be_counted_are_not_counted_as_nothing(tmp_path):
    g = GraphBuilder()
    g.node(
        "Einsum",
        [g.input("a", (2, 2)), g.input("b", (2, 2)), g.input("c", (2, 2))],
        "y",
        equation="ij,jk,kl->il",
    )
    g.output("y", (2, 2))
    path = g.save(tmp_path / "m.onnx")

    with pytest.raises(ArtifactError, match="MACs of Einsum 'y_Einsum' cannot be counted"):
        inspected(path)


@st.composite
def stacks(draw) -> tuple[GraphBuilder, int]:
    """A random stack of convolutions, flattened into random Gemms; and its MACs."""
    g = GraphBuilder(draw(st.integers(0, 1000)))
    channels, size = draw(st.integers(1, 9)), draw(st.integers(8, 12))
    x = g.input("x", (draw(st.sampled_from([1, "batch"])), channels, size, size))
    macs = 0
    for index in range(draw(st.integers(1, 3))):
        depthwise = draw(st.booleans())
        group = channels if depthwise else 1
        out = channels * draw(st.integers(1, 2)) if depthwise else draw(st.integers(1, 20))
        kernel, stride, pad = (
            draw(st.integers(1, 3)),
            draw(st.integers(1, 2)),
            draw(st.integers(0, 1)),
        )
        weight = (out, channels // group, kernel, kernel)
        x = g.conv(
            x, f"conv{index}", weight, relu=draw(st.booleans()),
            group=group, strides=[stride] * 2, pads=[pad] * 4,
        )  # fmt: skip
        size = (size + 2 * pad - kernel) // stride + 1
        macs += size * size * prod(weight)
        channels = out
    x = g.node("Flatten", [x], "flat")
    features = channels * size * size
    for index in range(draw(st.integers(1, 2))):
        out = draw(st.integers(1, 12))
        x = g.gemm(x, f"fc{index}", out, features)
        macs += out * features
        features = out
    g.output(x, (None, features))
    return g, macs


@settings(max_examples=25, deadline=None, derandomize=True)
@given(stacks())
def test_random_stacks_before_and_after_quantisation(tmp_path_factory, stack):
    g, macs = stack
    path: Path = g.save(tmp_path_factory.mktemp("stack") / "m.onnx")

    assert inspected(path).macs == macs
    after = inspected(quantized(path))
    assert after.macs == macs
    assert after.int8_op_fraction == 1.0
