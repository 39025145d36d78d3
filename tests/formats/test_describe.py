import hashlib
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import GraphBuilder, quantized, residual_net

from edgecompress.artifact import TensorInfo
from edgecompress.errors import ArtifactError
from edgecompress.formats.onnx.file import describe


def two_in_two_out() -> GraphBuilder:
    g = GraphBuilder()
    g.input("image", ("batch", 3, 8, 8))
    g.input("ids", (1, "tokens"), TensorProto.INT64)
    g.conv("image", "conv", (4, 3, 3, 3))
    g.node("Identity", ["ids"], "same")
    g.output("conv", ("batch", 4, 6, 6))
    g.output("same", (1, "tokens"), TensorProto.INT64)
    return g


def test_tensors_digest_and_size(tmp_path):
    path = two_in_two_out().save(tmp_path / "m.onnx")

    artifact = describe(path)

    assert artifact.inputs == (
        TensorInfo(name="image", shape=("batch", 3, 8, 8), dtype="float32"),
        TensorInfo(name="ids", shape=(1, "tokens"), dtype="int64"),
    )
    assert artifact.outputs == (
        TensorInfo(name="conv", shape=("batch", 4, 6, 6), dtype="float32"),
        TensorInfo(name="same", shape=(1, "tokens"), dtype="int64"),
    )
    assert artifact.format == "onnx"
    assert artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert artifact.size_bytes == len(path.read_bytes())
    assert artifact.lineage == {}
    assert artifact.labels is None
    artifact.verify()


def test_initializers_listed_as_inputs_are_not_inputs(tmp_path):
    g = two_in_two_out()
    g.inputs.append(helper.make_tensor_value_info("conv.weight", TensorProto.FLOAT, (4, 3, 3, 3)))

    assert [i.name for i in describe(g.save(tmp_path / "m.onnx")).inputs] == ["image", "ids"]


def test_unnamed_and_negative_dimensions_are_free_and_distinct(tmp_path):
    g = GraphBuilder()
    g.input("x", (None, -1, 4))
    g.node("Relu", ["x"], "y")
    g.output("y", (None, None, 4))

    shape = describe(g.save(tmp_path / "m.onnx")).inputs[0].shape

    assert shape[2] == 4
    assert isinstance(shape[0], str)
    assert isinstance(shape[1], str)
    assert shape[0] != shape[1]


def test_scale_and_zero_point_of_edges(tmp_path):
    g = GraphBuilder()
    x = g.qdq(g.input("x", (1, 3, 8, 8)), "in", scale=0.25, zero_point=7)
    y = g.conv(x, "conv", (4, 3, 1, 1))
    g.qdq(y, "out", scale=0.5, zero_point=-3, dtype=np.int8)
    g.output("out_dq", (1, 4, 8, 8))

    artifact = describe(g.save(tmp_path / "m.onnx"))

    (x,), (y,) = artifact.inputs, artifact.outputs
    assert (x.dtype, x.scale, x.zero_point) == ("float32", 0.25, 7)
    assert (y.dtype, y.scale, y.zero_point) == ("float32", 0.5, -3)


def test_no_single_scale_no_scale(tmp_path):
    g = GraphBuilder()
    g.input("per_channel", (1, 2, 4))
    g.qdq("per_channel", "pc", scale=[0.1, 0.2], zero_point=0, axis=1)
    g.input("read_twice", (1, 2, 4))
    g.qdq("read_twice", "rt")
    g.node("Add", ["rt_dq", "read_twice"], "sum")
    g.output("pc_dq", (1, 2, 4))
    g.output("sum", (1, 2, 4))

    artifact = describe(g.save(tmp_path / "m.onnx"))

    assert [i.scale for i in artifact.inputs] == [None, None]
    assert [o.scale for o in artifact.outputs] == [None, None]


def test_file_from_onnxruntime_quantizer_carries_its_scales(tmp_path):
    artifact = describe(quantized(residual_net().save(tmp_path / "m.onnx")))

    assert artifact.inputs[0].scale is not None
    assert 0 < artifact.inputs[0].scale < 1
    assert artifact.outputs[0].zero_point is not None


def test_lineage_and_labels(tmp_path):
    metadata = {
        "edgecompress.lineage": json.dumps({"recipe": "ab12", "torch": "2.13"}),
        "edgecompress.labels": json.dumps(["cat", "dög"]),
    }
    artifact = describe(two_in_two_out().save(tmp_path / "m.onnx", metadata=metadata))

    assert artifact.lineage == {"recipe": "ab12", "torch": "2.13"}
    assert artifact.labels == ("cat", "dög")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("edgecompress.lineage", "{", "not JSON"),
        ("edgecompress.lineage", '{"a": 1}', "not a JSON object of strings"),
        ("edgecompress.lineage", "[]", "not a JSON object of strings"),
        ("edgecompress.labels", '{"a": "b"}', "not a JSON list of strings"),
        ("edgecompress.labels", "[1]", "not a JSON list of strings"),
        ("edgecompress.labels", "[" * 100_000, "not JSON"),
    ],
)
def test_foreign_metadata_is_refused(tmp_path, key, text, message):
    path = two_in_two_out().save(tmp_path / "m.onnx", metadata={key: text})

    with pytest.raises(ArtifactError, match=message):
        describe(path)


def test_external_data_is_refused_even_when_it_is_there(tmp_path):
    path = two_in_two_out().save(tmp_path / "whole.onnx")
    split = tmp_path / "split.onnx"
    onnx.save(
        onnx.load(path), split, save_as_external_data=True, location="w.data", size_threshold=0
    )

    with pytest.raises(ArtifactError, match=r"split\.onnx: keeps its weights in another file"):
        describe(split)


def test_model_local_functions_are_seen_through(tmp_path):
    g = two_in_two_out()
    opsets = [helper.make_opsetid("", 20)]
    relu = helper.make_node("Relu", ["a"], ["b"])
    function = helper.make_function("local", "Mine", ["a"], ["b"], [relu], opsets)
    path = g.save(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node.append(helper.make_node("Mine", ["conv"], ["mine"], domain="local"))
    model.graph.output.append(helper.make_tensor_value_info("mine", 1, ("batch", 4, 6, 6)))
    onnx.save(model, path)

    assert [o.name for o in describe(path).outputs] == ["conv", "same", "mine"]
