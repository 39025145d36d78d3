"""Every operator of a TFLite file: type, MACs, the reason where float, and who takes it."""

import json

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")

from ai_edge_litert import schema_py_generated as schema
from tflite_files import FLOAT_EDGES_MACS, FileBuilder, float_edges, int8_edges

from edgecompress.errors import ArtifactError
from edgecompress.report.layer_types import between_compute, layer_dtypes
from edgecompress.runtimes.litert.inspect import inspect_tflite
from edgecompress.spec.measurement import Inspection, Op


def inspected(path, delegate=None, api_level=None) -> Inspection:
    return inspect_tflite(path, "litert", "x86_64", delegate, api_level)


def only(inspection: Inspection, op_type: str) -> Op:
    found = [op for op in inspection.ops if op.op_type == op_type]
    assert len(found) == 1, [op.op_type for op in inspection.ops]
    return found[0]


def one(b: FileBuilder, path, **how) -> Op:
    """The last operator of a file whose tensors are all named."""
    names = list(b._index)
    return inspected(b.save(path, {names[0]: "in"}, {names[-1]: "out"}), **how).ops[-1]


def test_int8_file_with_float_edges(tmp_path):
    inspection = inspected(float_edges(tmp_path / "m.tflite"))

    assert [(op.op_type, op.dtype) for op in inspection.ops] == [
        ("QUANTIZE", "float32"),
        ("CONV_2D", "int8"),
        ("CONV_2D", "int8"),
        ("MEAN", "int8"),
        ("FULLY_CONNECTED", "int8"),
        ("DEQUANTIZE", "float32"),
    ]
    assert inspection.macs == FLOAT_EDGES_MACS
    assert inspection.int8_op_fraction == 1
    assert between_compute(inspection) == ()
    assert only(inspection, "QUANTIZE").reason == "converts the model's float input once"
    assert only(inspection, "DEQUANTIZE").reason == "converts the model's output to float once"
    assert all(op.reason is None for op in inspection.ops if op.dtype == "int8")
    dtypes = {name: found.dtype for name, found in layer_dtypes(inspection).items()}
    assert dtypes == {"stem": "int8", "conv": "int8", "fc": "int8"}


def test_a_float_operator_between_int8_ones_is_told_from_the_edges(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 6, 6, 3))
    b.conv("x", "stem", (3, 8), 6)
    b.op("DEQUANTIZE", ["stem"], [b.tensor("f", (1, 6, 6, 8), "float32")], 2)
    b.op("COS", ["f"], [b.tensor("c", (1, 6, 6, 8), "float32")])
    b.op("TANH", ["c"], [b.tensor("t", (1, 6, 6, 8), "float32")])
    b.op("QUANTIZE", ["t"], [b.tensor("q", (1, 6, 6, 8))])
    b.conv("q", "last", (8, 4), 6)
    inspection = inspected(b.save(tmp_path / "m.tflite", {"x": "x"}, {"last": "y"}))

    assert {op.op_type for op in between_compute(inspection)} == {"DEQUANTIZE", "QUANTIZE"}
    assert only(inspection, "DEQUANTIZE").reason == "feeds COS 'c', which is not int8"
    assert only(inspection, "COS").reason == "LiteRT has no int8 kernel for COS"
    assert only(inspection, "TANH").reason == "its input 'c' is float (COS wrote it)"
    assert only(inspection, "QUANTIZE").reason == "quantises what TANH 't' wrote in float"


def test_what_the_converter_left_in_float(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 8))
    b.linear("x", "fc", 8, 4)
    b.op("DEQUANTIZE", ["fc"], [b.tensor("f", (1, 4), "float32")], 2)
    b.op("LOGISTIC", ["f"], [b.tensor("s", (1, 4), "float32")])
    b.op("QUANTIZE", ["s"], [b.tensor("q", (1, 4))])
    b.linear("q", "fc2", 4, 4)
    inspection = inspected(b.save(tmp_path / "m.tflite", {"x": "x"}, {"fc2": "y"}))

    assert only(inspection, "LOGISTIC").reason == (
        "stands between DEQUANTIZE and QUANTIZE: the converter left it in float"
    )


def test_float_file_and_layers_kept_by_the_recipe(tmp_path):
    plain = inspected(int8_edges(tmp_path / "f.tflite", dtype="float32"))
    b = FileBuilder()
    b.tensor("x", (1, 6, 6, 3), "float32")
    b.conv("x", "stem.conv", (3, 8), 6, dtype="float32")
    b.op("QUANTIZE", ["stem.conv"], [b.tensor("q", (1, 6, 6, 8))])
    b.conv("q", "stem2", (8, 4), 6)
    kept = {"edgecompress.keep_float": json.dumps(["stem"]).encode()}
    mixed = inspected(b.save(tmp_path / "m.tflite", {"x": "x"}, {"stem2": "y"}, kept))

    assert only(plain, "CONV_2D").reason == "the file is not quantised"
    assert [(op.module, op.reason) for op in mixed.ops if op.macs] == [
        ("stem.conv", "kept in float by the recipe"),
        ("stem2", None),
    ]
    assert mixed.int8_op_fraction == pytest.approx(72 * 4 / (72 * 4 + 27 * 8))


def test_int8_weights_alone_are_not_int8(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 8), "float32")
    weight = np.ones((4, 8), np.int8)
    b.tensor("w", (4, 8), "int8", 0.01, data=weight)
    b.tensor("y", (1, 4), "float32")
    b.op("FULLY_CONNECTED", ["x", "w", None], ["y"], 3, schema.FullyConnectedOptionsT())

    op = inspected(b.save(tmp_path / "m.tflite", {"x": "x"}, {"y": "y"})).ops[0]

    assert (op.dtype, op.reason) == ("float32", "only its weights are int8: its data is float")


def test_modules_by_litert_torchs_names(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 8))
    fused = "net.Net;;net.Net/torch.nn.modules.container.Sequential_layer1/net.Block_0;3"
    b.op("RELU", ["x"], [b.tensor(fused, (1, 8))])

    assert one(b, tmp_path / "m.tflite").module == "layer1.0"


@pytest.mark.parametrize(
    ("op_type", "inputs", "output", "macs"),
    [
        ("DEPTHWISE_CONV_2D", [(1, 6, 6, 8), (1, 3, 3, 8)], (1, 6, 6, 8), 36 * 8 * 9),
        ("CONV_2D", [(1, 6, 6, 8), (4, 1, 1, 2)], (1, 6, 6, 4), 36 * 4 * 2),
        ("FULLY_CONNECTED", [(1, 5, 8), (4, 8)], (1, 5, 4), 5 * 4 * 8),
        ("BATCH_MATMUL", [(2, 5, 8), (2, 8, 3)], (2, 5, 3), 2 * 5 * 3 * 8),
        ("BATCH_MATMUL", [(2, 8, 5), (2, 8, 3)], (2, 5, 3), 2 * 5 * 3 * 8),
        ("ADD", [(1, 8), (1, 8)], (1, 8), 0),
    ],
)
def test_macs(tmp_path, op_type, inputs, output, macs):
    b = FileBuilder()
    names = [b.tensor(f"x{index}", shape) for index, shape in enumerate(inputs)]
    b.op(op_type, names, [b.tensor("y", output)])

    assert one(b, tmp_path / "m.tflite").macs == macs


def test_macs_of_a_transposed_convolution_with_a_free_batch(tmp_path):
    b = FileBuilder()
    b.tensor("x", (-1, 4, 4, 8))
    size = b.integers("size", [1, 8, 8, 3])
    weight = b.tensor("w", (3, 2, 2, 8), data=np.ones((3, 2, 2, 8), np.int8))
    b.op("TRANSPOSE_CONV", [size, weight, "x"], [b.tensor("y", (-1, 8, 8, 3))])

    assert one(b, tmp_path / "m.tflite").macs == 16 * 8 * 3 * 4


def test_work_that_cannot_be_counted_is_refused(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 8), "float32")
    b.op("SVDF", ["x"], [b.tensor("y", (1, 8), "float32")])

    with pytest.raises(ArtifactError, match="MACs of SVDF 'y' cannot be counted: SVDF is not"):
        one(b, tmp_path / "m.tflite")


def test_a_product_inside_a_loop_is_refused(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 8), "int8")
    options = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    b.op("WHILE", ["x"], [b.tensor("y", (1, 8))], options=options)
    b.new_graph()
    b.new_graph()
    b.tensor("x", (1, 8))
    b.linear("x", "fc", 8, 8)
    path = b.save(tmp_path / "m.tflite", {"x": "x"}, {"y": "y"})

    with pytest.raises(ArtifactError, match="unknown number of times, inside a WHILE"):
        inspected(path)


def test_the_gpu_computes_in_float16(tmp_path):
    inspection = inspected(float_edges(tmp_path / "m.tflite"), "gpu")

    computing = [op for op in inspection.ops if op.macs]
    assert {op.dtype for op in computing} == {"float16"}
    assert {op.reason for op in computing} == {"the GPU delegate computes in float16"}
    assert inspection.int8_op_fraction == 0


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ({}, (True, None)),
        ({"bias": False}, (False, "XNNPACK: CONV_2D needs a bias")),
    ],
)
def test_xnnpack(tmp_path, how, answer):
    op = inspected(int8_edges(tmp_path / "m.tflite", **how), "xnnpack").ops[0]

    assert (op.delegated, op.delegate_reason) == answer


def test_xnnpack_says_nothing_of_what_it_does_not_list(tmp_path):
    b = FileBuilder()
    b.op("GELU", [b.tensor("x", (1, 8))], [b.tensor("y", (1, 8))])
    op = one(b, tmp_path / "m.tflite", delegate="xnnpack")

    assert op.delegated is None
    assert op.delegate_reason == "XNNPACK's documentation lists no int8 GELU"
