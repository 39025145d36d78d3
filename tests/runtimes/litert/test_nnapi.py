"""NNAPI's documented rules: each has an operator that breaks it, and is named."""

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")

from ai_edge_litert import schema_py_generated as schema
from tflite_files import FileBuilder, float_edges, int8_edges

from edgecompress.runtimes.litert.inspect import inspect_tflite
from edgecompress.spec.measurement import Op

RELU = schema.ActivationFunctionType.RELU


def delegated(path, api_level: int = 30) -> tuple[bool | None, str | None]:
    op = inspect_tflite(path, "litert", "aarch64", "nnapi", api_level).ops[-1]
    return op.delegated, op.delegate_reason


def built(tmp_path, op_type, shapes, dtype="int8", version=1, options=None, level=30, numbers=()):
    """One operator on tensors of these shapes, the last its output, and constant `numbers`."""
    b = FileBuilder()
    names = [b.tensor(f"t{index}", shape, dtype) for index, shape in enumerate(shapes)]
    constants = [b.integers(f"n{index}", values) for index, values in enumerate(numbers)]
    b.op(op_type, [*names[:-1], *constants], names[-1:], version, options)
    path = b.save(tmp_path / "m.tflite", {"t0": "in"}, {names[-1]: "out"})
    return delegated(path, level)


def test_an_ordinary_int8_file_is_taken_whole(tmp_path):
    path = float_edges(tmp_path / "m.tflite")

    ops: tuple[Op, ...] = inspect_tflite(path, "litert", "aarch64", "nnapi", 30).ops

    assert [(op.op_type, op.delegate_reason) for op in ops if not op.delegated] == []


@pytest.mark.parametrize(
    ("how", "level", "reason"),
    [
        ({}, 29, None),
        ({}, 28, "one scale per channel needs API level 29"),
        ({"per_channel": False}, 28, "int8 needs API level 29; before, uint8 only"),
        ({"dilation": 2}, 28, "dilated CONV_2D needs API level 29"),
        ({"bias": False}, 30, "CONV_2D needs a bias"),
        ({"version": 6}, 30, "CONV_2D of version 5 at most, this is 6"),
    ],
)
def test_convolution(tmp_path, how, level, reason):
    answer = delegated(int8_edges(tmp_path / "m.tflite", **how), level)

    assert answer == ((True, None) if reason is None else (False, f"NNAPI: {reason}"))


def test_per_channel_zero_points_and_classifiers(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 6, 6, 8))
    weight = np.ones((1, 3, 3, 8), np.int8)
    b.tensor("w", weight.shape, "int8", [0.01] * 8, 1, weight, dimension=3)
    b.tensor("y", (1, 6, 6, 8))
    options = schema.DepthwiseConv2DOptionsT(dilationWFactor=1, dilationHFactor=1)
    b.op("DEPTHWISE_CONV_2D", ["x", "w"], ["y"], 3, options)
    offset = delegated(b.save(tmp_path / "d.tflite", {"x": "x"}, {"y": "y"}))
    b = FileBuilder()
    b.tensor("x", (1, 8))
    b.linear("x", "fc", 8, 4, scales=4)
    several = delegated(b.save(tmp_path / "f.tflite", {"x": "x"}, {"fc": "y"}))

    assert offset == (False, "NNAPI: one scale per channel needs zero point 0 in 'w'")
    assert several == (
        False,
        "NNAPI: FULLY_CONNECTED takes one scale for all of 'fc.weight', not one per channel",
    )


FIVE = (1, 2, 2, 2, 4)
FOUR = (1, 4, 4, 4)


@pytest.mark.parametrize(
    ("op_type", "shapes", "how", "reason"),
    [
        ("ADD", [FOUR, FOUR, FOUR], {"version": 2}, None),
        ("ADD", [FIVE, FIVE, FIVE], {}, "'t0' has rank 5; NNAPI's tensors end at rank 4"),
        ("MUL", [FIVE, FIVE, FIVE], {}, "'t0' has rank 5; NNAPI's tensors end at rank 4"),
        ("SOFTMAX", [FIVE, FIVE], {}, "'t0' has rank 5; NNAPI's tensors end at rank 4"),
        ("SOFTMAX", [(1, 2, 3), (1, 2, 3)], {"level": 28, "dtype": "float32"},
         "SOFTMAX of rank 3 needs API level 29"),
        ("RESHAPE", [(1, 32), FIVE], {"numbers": [FIVE]},
         "'t1' has rank 5; NNAPI's tensors end at rank 4"),
        ("ADD", [FOUR, FOUR, FOUR], {"version": 4}, "ADD of version 2 at most, this is 4"),
        ("ADD", [FOUR, FOUR, FOUR], {"dtype": "int32", "level": 29},
         "int32 ADD needs API level 30"),
        ("ADD", [FOUR, FOUR, FOUR],
         {"dtype": "int32", "options": schema.AddOptionsT(fusedActivationFunction=RELU)},
         "ADD with a fused activation"),
        ("LEAKY_RELU", [FOUR, FOUR], {"version": 2}, "LEAKY_RELU of version 1 at most, this is 2"),
        ("DIV", [FOUR, FOUR, FOUR], {}, "DIV takes float32, not int8"),
        ("EXP", [FOUR, FOUR], {}, "EXP takes float32, float16, not int8"),
        ("AVERAGE_POOL_2D", [(1, 32, 32, 4), (1, 1, 1, 4)],
         {"options": schema.Pool2DOptionsT(filterWidth=32, filterHeight=32)},
         "a window of 1024; int8 ones end at 256"),
        ("CONCATENATION", [FOUR, FOUR, (1, 4, 4, 8)],
         {"options": schema.ConcatenationOptionsT(fusedActivationFunction=RELU)},
         "CONCATENATION with a fused activation"),
        ("TRANSPOSE", [FOUR, FOUR, FOUR], {}, "'t1' of TRANSPOSE must be a constant"),
        ("MEAN", [(4,), ()], {"numbers": [[0]]}, "MEAN cannot give a scalar"),
        ("MEAN", [FOUR, (1, 4)], {"numbers": [[1, 2]], "level": 28},
         "int8 MEAN needs API level 29"),
        ("RESIZE_BILINEAR", [FOUR, (1, 8, 8, 4)],
         {"numbers": [[8, 8]], "level": 29,
          "options": schema.ResizeBilinearOptionsT(halfPixelCenters=True)},
         "RESIZE_BILINEAR with halfPixelCenters needs API level 30"),
        ("PACK", [FOUR, FOUR, FOUR],
         {"options": schema.PackOptionsT(valuesCount=2, axis=-1)}, "PACK along the last axis"),
        ("FULLY_CONNECTED", [(1, 4), (4, 4), (1, 4)],
         {"level": 29, "options": schema.FullyConnectedOptionsT(keepNumDims=True)},
         "FULLY_CONNECTED that keeps its dimensions needs API level 30"),
        ("BATCH_MATMUL", [FOUR, FOUR, FOUR], {},
         "BATCH_MATMUL needs feature level 6, which no API level promises"),
    ],
)  # fmt: skip
def test_rules(tmp_path, op_type, shapes, how, reason):
    answer = built(tmp_path, op_type, shapes, **how)

    assert answer == ((True, None) if reason is None else (False, f"NNAPI: {reason}"))


def test_what_nnapi_does_not_have_and_what_is_not_looked_at(tmp_path):
    assert built(tmp_path, "GELU", [FOUR, FOUR]) == (False, "NNAPI has no GELU")
    assert built(tmp_path, "MyOwn", [FOUR, FOUR]) == (False, "NNAPI has no MyOwn")
    unknown = built(tmp_path, "HASHTABLE_LOOKUP", [FOUR, FOUR], "float32")
    assert unknown == (None, "NNAPI's rules for HASHTABLE_LOOKUP are not looked at")


def test_quantize_and_dequantize_by_level(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 8), "float32")
    b.op("QUANTIZE", ["x"], [b.tensor("y", (1, 8), "int8", 0.1, 5)])
    quantize = b.save(tmp_path / "q.tflite", {"x": "x"}, {"y": "y"})
    b = FileBuilder()
    b.tensor("x", (1, 8), "int8", 0.1, 5)
    b.op("DEQUANTIZE", ["x"], [b.tensor("y", (1, 8), "float32")], 2)
    dequantize = b.save(tmp_path / "d.tflite", {"x": "x"}, {"y": "y"})

    assert delegated(quantize, 30) == (True, None)
    assert delegated(quantize, 29) == (False, "NNAPI: QUANTIZE to int8 needs API level 30")
    assert delegated(dequantize, 30) == (True, None)
    assert delegated(dequantize, 29) == (
        False,
        "NNAPI: int8 DEQUANTIZE with a zero point needs API level 30",
    )
