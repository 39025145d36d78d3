"""Model files that say what cannot be: each kind of damage that was found to go wrong."""

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from onnx_models import GraphBuilder, residual_net
from tflite_files import FileBuilder, int8_edges

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import ArtifactError, TaskError, in_place_of
from edgecompress.formats.onnx.file import describe, load
from edgecompress.formats.tflite.file import describe as describe_tflite
from edgecompress.measure.tensors import feed, random_inputs
from edgecompress.runtimes.onnxruntime.match import Origins
from edgecompress.runtimes.tensorrt.graph import int8_convolution
from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt


def too_few_numbers(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = b"12345"


def too_many_numbers(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data += b"1234"


def too_many_numbers_in_a_node(proto: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32))
    tensor.dims[:] = []
    proto.graph.node.add(op_type="Constant", output=["c"]).attribute.add(
        name="value", type=onnx.AttributeProto.TENSOR, t=tensor
    )


def sizes_below_zero(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = -1


def no_output(proto: onnx.ModelProto) -> None:
    proto.graph.node.add(op_type="Own", domain="com.microsoft", input=["x"])


def too_few_inputs(proto: onnx.ModelProto) -> None:
    proto.graph.node.add(
        op_type="QuantizeLinear", domain="com.microsoft", input=["x"], output=["q"]
    )


def scale_of_strings(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [], [b"1"]))
    proto.graph.node.add(op_type="QuantizeLinear", input=["x", "s"], output=["q"])


def external_in_a_body(proto: onnx.ModelProto) -> None:
    tensor = TensorProto(name="e", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    body = helper.make_graph(
        [helper.make_node("Identity", ["e"], ["i"])],
        "body",
        [],
        [helper.make_tensor_value_info("i", FLOAT, None)],
        [tensor],
    )
    node = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    proto.graph.node.append(node)


def graph_attribute_without_a_graph(proto: onnx.ModelProto) -> None:
    node = proto.graph.node.add(op_type="Own", domain="com.microsoft", output=["y"])
    node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH, ref_attr_name="outer")


FLOAT = TensorProto.FLOAT
REFUSED: dict[Callable[[onnx.ModelProto], None], str] = {
    too_few_numbers: "is too small for the declared shape",
    too_many_numbers: "the numbers stored for 'stem.weight' are not those of [8, 3, 3, 3] of FLOAT",
    too_many_numbers_in_a_node: "the numbers stored for 'value of Constant 'c'' are not",
    sizes_below_zero: "Negative dimension value",
    no_output: "node '' (Own) has no output",
    too_few_inputs: "QuantizeLinear 'q' has 1 inputs; it takes 2 or more",
    scale_of_strings: "QuantizeLinear 'q' has a scale or zero point that is no number",
    external_in_a_body: "keeps its weights in another file ('/etc/hostname')",
    graph_attribute_without_a_graph: "not a valid ONNX model",
}


@pytest.mark.parametrize("change", REFUSED, ids=[change.__name__ for change in REFUSED])
def test_an_onnx_file_that_cannot_be(tmp_path, change):
    path = residual_net(1).save(tmp_path / "m.onnx")
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, path)
    with pytest.raises(ArtifactError) as caught:
        describe(path)
    assert str(path) in str(caught.value)
    assert REFUSED[change] in str(caught.value)


def test_names_that_are_no_text(tmp_path):
    path = residual_net(1).save(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes().replace(b"com.microsoft", b"com.micr\xe3soft"))
    with pytest.raises(ArtifactError, match="names that are not UTF-8 text"):
        describe(path)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none(tmp_path, scale):
    g = GraphBuilder()
    g.input("x", (1, 4))
    g.node("Relu", [g.qdq("x", "q", scale)], "y")
    g.output("y", (1, 4))
    with pytest.raises(ArtifactError, match=r"'x' has scale .*; a scale is a number above 0"):
        describe(g.save(tmp_path / "m.onnx"))
    b = FileBuilder()
    b.tensor("x", (1, 6, 6, 3), "int8", scale)
    b.conv("x", "stem", (3, 8), 6)
    path = b.save(tmp_path / "m.tflite", {"x": "image"}, {"stem": "map"})
    with pytest.raises(ArtifactError, match=r"'image' has scale .*; a scale is a number above 0"):
        describe_tflite(path)


def test_a_zero_point_that_is_no_number_is_not_known(tmp_path):
    g = GraphBuilder()
    g.input("x", (1, 4))
    g.constant("s", np.array(0.5, np.float32))
    g.constant("z", np.array(float("nan"), np.float32))
    g.node("Relu", [g.node("QuantizeLinear", ["x", "s", "z"], "q")], "y")
    g.output("y", (1, 4))
    assert describe(g.save(tmp_path / "m.onnx")).inputs[0].scale is None


def test_metadata_of_half_characters(tmp_path):
    metadata = {"edgecompress.labels": '["\\ud800"]'}
    with pytest.raises(ArtifactError, match=r"'edgecompress.labels' is not JSON"):
        describe(residual_net(1).save(tmp_path / "m.onnx", metadata=metadata))


def test_a_declared_size_is_not_computed(tmp_path):
    """A ConstantOfShape of 2^40 numbers that the file says to be one."""
    g = GraphBuilder()
    g.input("x", (1, 4))
    sizes = g.node("Own", [g.constant("n", np.array([1 << 40], np.int64))], "sizes", domain="own")
    g.constant("big", np.array([1 << 40], np.int64))
    g.node("ConstantOfShape", ["big"], "many")
    g.node("Own", [sizes, "many", "x"], "y", domain="own")
    g.output("y", (1, 4))
    path = g.save(tmp_path / "m.onnx")
    proto = onnx.load(path)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.graph.value_info.append(helper.make_tensor_value_info("many", FLOAT, [1]))
    onnx.save(proto, path)
    inspect_tensorrt(path, (10, 3))


def functions(path: Path, calls: dict[str, list[str]]) -> Path:
    """A file of functions of one input and one output, each of calls after one another."""
    g = GraphBuilder()
    g.input("x", (1, 4))
    g.node(next(iter(calls)), ["x"], "y", domain="own")
    g.output("y", (1, 4))
    proto = onnx.load(g.save(path))
    proto.opset_import.append(helper.make_opsetid("own", 1))
    for name, called in calls.items():
        names = ["a", *(f"t{index}" for index in range(1, len(called))), "b"]
        nodes = [
            helper.make_node(op, [names[at]], [names[at + 1]], domain="own" if op in calls else "")
            for at, op in enumerate(called)
        ]
        proto.functions.append(
            helper.make_function("own", name, ["a"], ["b"], nodes, proto.opset_import)
        )
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ({"F": ["F"]}, "not a valid ONNX model"),
        ({"F": ["G"], "G": ["F"]}, "not a valid ONNX model"),
        (
            {**{f"F{i}": [f"F{i + 1}"] * 2 for i in range(25)}, "F25": ["Relu"]},
            "it has 33554432 nodes once its functions are written out",
        ),
        ({**{f"F{i}": [f"F{i + 1}"] for i in range(300)}, "F300": ["Relu"]}, "not a valid ONNX"),
    ],
    ids=["itself", "one-another", "doubled", "deep"],
)
def test_functions_that_have_no_end(tmp_path, calls, words):
    with pytest.raises(ArtifactError, match=words):
        describe(functions(tmp_path / "m.onnx", calls))


def test_functions_that_have_one(tmp_path):
    path = functions(tmp_path / "m.onnx", {"F": ["G", "G"], "G": ["Relu", "Relu"]})
    assert [op.op_type for op in inspect_tensorrt(path, (10, 3)).ops] == ["Relu"] * 4


LONG = 1100
"""More than Python may call itself."""


def test_a_long_chain_before_an_addition(tmp_path):
    g = GraphBuilder()
    x = g.qdq(g.input("x", (1, 4, 4, 4)), "q")
    y = g.node("Conv", [x, g.qdq(g.weight("w", (4, 4, 1, 1)), "wq")], "c")
    for name in "sbmv":
        g.constant(name, np.ones(4, np.float32))
    for index in range(LONG):
        y = g.node("BatchNormalization", [y, *"sbmv"], f"t{index}")
    g.node("Add", [y, x], "y")
    g.output("y", (1, 4, 4, 4))
    graph = load(g.save(tmp_path / "m.onnx")).graph
    found = int8_convolution(graph.outputs[0].producer().inputs[0])
    assert found is not None
    assert found.name == "c_Conv"


def test_a_long_chain_behind_a_weight(tmp_path):
    g = GraphBuilder()
    weight = g.weight("w", (4, 4, 1, 1))
    for index in range(LONG):
        weight = g.node("Transpose", [weight], f"t{index}", perm=[1, 0, 2, 3])
    g.node("Conv", [g.input("x", (1, 4, 4, 4)), weight], "y")
    g.output("y", (1, 4, 4, 4))
    graph = load(g.save(tmp_path / "m.onnx")).graph
    h = GraphBuilder()
    h.node("Conv", [h.input("x", (1, 4, 4, 4)), h.weight("w", (4, 4, 1, 1))], "renamed")
    h.output("renamed", (1, 4, 4, 4))
    (running,) = load(h.save(tmp_path / "running.onnx")).graph
    found = Origins(graph).find(running)
    assert found is not None
    assert found.name == "y_Conv"


def changed(path: Path, change: Callable[[schema.ModelT], None]) -> Path:
    """A TFLite file with one thing changed."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def no_signature_inputs(model: schema.ModelT) -> None:
    model.signatureDefs[0].inputs = None


def an_unknown_activation(model: schema.ModelT) -> None:
    model.subgraphs[0].operators[0].builtinOptions.fusedActivationFunction = 77


def an_operator_without_output(model: schema.ModelT) -> None:
    model.subgraphs[0].operators[0].outputs = []


def a_quantize_without_input(model: schema.ModelT) -> None:
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.QUANTIZE
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    model.subgraphs[0].operators[0].inputs = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_signature_inputs, "its signature does not name the graph's inputs and outputs"),
        (an_unknown_activation, "an operator is fused with activation 77"),
        (an_operator_without_output, "CONV_2D has no output"),
        (a_quantize_without_input, "QUANTIZE has no input"),
    ],
)
def test_a_tflite_file_that_cannot_be(tmp_path, change, words):
    path = changed(int8_edges(tmp_path / "m.tflite"), change)
    with pytest.raises(ArtifactError, match=words) as caught:
        describe_tflite(path)
    assert str(path) in str(caught.value)


def test_numbers_that_do_not_fill_their_tensor(tmp_path):
    def cut(model: schema.ModelT) -> None:
        stored = [buffer for buffer in model.buffers if buffer.data is not None]
        stored[0].data = stored[0].data[:7]

    path = changed(int8_edges(tmp_path / "m.tflite"), cut)
    with pytest.raises(ArtifactError, match="has 7 bytes for "):
        describe_tflite(path)


def test_scales_that_are_not_those_of_an_axis(tmp_path):
    def fewer(model: schema.ModelT) -> None:
        steps = next(t for t in model.subgraphs[0].tensors if t.name == b"stem.weight").quantization
        steps.scale, steps.zeroPoint = steps.scale[:3], steps.zeroPoint[:3]

    path = changed(int8_edges(tmp_path / "m.tflite"), fewer)
    # As LiteRT says it of such a file: num_scales must be 1, or that of the axis.
    with pytest.raises(ArtifactError, match="has 3 scales along axis 0"):
        describe_tflite(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((1 << 20, 1 << 20), FLOAT, r"m\.onnx: input 'x' takes 1099511627776 numbers at once"),
        ((1, 4), TensorProto.STRING, r"m\.onnx: input 'x' takes string, of which no values"),
    ],
)
def test_inputs_that_cannot_be_made_up(tmp_path, shape, dtype, words):
    g = GraphBuilder()
    g.input("x", shape, dtype)
    g.node("Identity", ["x"], "y")
    g.output("y", shape, dtype)
    with pytest.raises(ArtifactError, match=words):
        random_inputs(describe(g.save(tmp_path / "m.onnx")), seed=0)


def test_a_type_that_the_file_does_not_say_is_not_fed():
    info = TensorInfo(name="x", shape=(1, 4), dtype="unknown", scale=0.5, zero_point=0)
    image = Artifact(
        path=Path("m.onnx"), format="onnx", sha256="", size_bytes=0, inputs=(info,), outputs=()
    )
    with pytest.raises(TaskError, match="input 'x' takes unknown, the task gives float32"):
        feed(image, [np.zeros((1, 4), np.float32)])


def test_an_error_about_a_copy_names_the_users_file(tmp_path):
    copy, own = tmp_path / "x" / "exposed.onnx", tmp_path / "own.onnx"
    with pytest.raises(ArtifactError) as caught, in_place_of(own, copy):
        raise ArtifactError(f"{copy}: not a valid ONNX model")
    assert str(caught.value) == f"{own}: not a valid ONNX model"
    with pytest.raises(ArtifactError) as caught, in_place_of(own, copy):
        raise ArtifactError("cannot be shown")
    assert str(caught.value) == f"{own}: cannot be shown"
