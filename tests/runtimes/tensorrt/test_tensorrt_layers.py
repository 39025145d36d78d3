"""What an engine runs, read from its layers as TensorRT tells them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorrt_files import exported, quantised
from torch import nn

from edgecompress.errors import AgentError, ArtifactError
from edgecompress.formats.onnx.file import describe
from edgecompress.measure.loaded import Loaded
from edgecompress.runtimes import runtime
from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt
from edgecompress.runtimes.tensorrt.layers import inspect_engine, read_layers
from edgecompress.spec.load import load_target

RELEASE = (10, 3)
INT8 = "Thirty-two wide channel vectorized row major Int8 format"
HALF = "Thirty-two wide channel vectorized row major FP16 format"


def tensor(name: str, format: str) -> dict[str, object]:
    return {"Name": name, "Location": "Device", "Format/Datatype": format}


# The form is that of a ResNet's QAT engine on an A100, of NVIDIA's trt-engine-explorer.
CONVOLUTION = {
    "Name": "layer1.0.conv2.weight + QuantizeLinear_32 + Conv_34 + Add_36 + Relu_37",
    "LayerType": "CaskConvolution",
    "Inputs": [tensor("onnx::DequantizeLinear_154", INT8), tensor("inputs", HALF)],
    "Outputs": [tensor("inputs.4", HALF)],
    "ParameterType": "Convolution",
    "Weights": {"Type": "Int8", "Count": 36864},
    "Bias": {"Type": "Float", "Count": 64},
    "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8f16_i8i32_f32_nchw_vect_c_32kcrs",
}
POOL = {
    "Name": "MaxPool_12",
    "LayerType": "TiledPooling",
    "Inputs": [tensor("onnx::MaxPool_136", "Row major linear FP32")],
    "Outputs": [tensor("Reformatted Output Tensor 0 to MaxPool_12", "Row major linear FP32")],
    "ParameterType": "Pooling",
}
# The same of a release from 10 on, whose names are the builder's and whose metadata are the file's.
LATER = {
    "Name": "/conv1/Conv_myl0_1",
    "Metadata": "[ONNX Layer: conv1]\x1e[ONNX Layer: /Relu]",
    "Inputs": [tensor("x", "Int8")],
    "Outputs": [tensor("y", "Half")],
    "Weights": {"Type": "Int8", "Count": 9},
}


def written(folder: Path, *layers: object) -> Path:
    path = folder / "layers.json"
    path.write_text(json.dumps({"Layers": list(layers), "Bindings": []}))
    return path


def test_layers_say_what_they_run_and_in_which_type(tmp_path: Path) -> None:
    convolution, pool, later = read_layers(written(tmp_path, CONVOLUTION, POOL, LATER))
    assert convolution.nodes >= {"Conv_34", "Add_36", "Relu_37"}
    assert (convolution.dtype, pool.dtype, later.dtype) == ("int8", "float32", "int8")
    assert pool.nodes == {"MaxPool_12"}
    assert later.nodes >= {"conv1", "/Relu"}


def test_a_region_of_many_operators_has_no_type(tmp_path: Path) -> None:
    foreign = {**POOL, "Name": "{ForeignNode[/a/Conv.../b/Gemm]}", "Metadata": "[ONNX Layer: c]"}
    (layer,) = read_layers(written(tmp_path, foreign))
    assert layer.dtype is None
    assert layer.nodes == {"c"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"[]", "it lists none"),
        (b'{"Layers": []}', "it lists none"),
        (b'{"Layers": ["conv1", "conv2"]}', "names only; build it again, in detail"),
    ],
)
def test_what_is_no_list_of_layers_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "layers.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=words):
        read_layers(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Name", "Inputs", "Weights", "Type", "Count", "Format/Datatype"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4))
def test_whatever_a_layer_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, layers: list[Any]
) -> None:
    path = written(tmp_path_factory.mktemp("layers"), *layers)
    try:
        found = read_layers(path)
    except ArtifactError:
        return
    assert all(layer.dtype in (None, "int8", "float16", "float32", "bfloat16") for layer in found)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()).eval()
    x = torch.randn(1, 3, 8, 8)
    folder = tmp_path_factory.mktemp("engine")
    return exported(quantised(net, (x,)), folder, RELEASE).artifact.path


def engine_of(file: Path, folder: Path, dtype: str, count: int | None = None) -> Path:
    names = [op.name for op in inspect_tensorrt(file, RELEASE).ops if op.macs][:count]
    kernel = {"Int8": INT8, "Half": HALF}[dtype]
    layers = [
        {
            "Name": f"weight + {name}",
            "Inputs": [tensor("x", kernel)],
            "Weights": {"Type": dtype, "Count": 9},
            "TacticName": "sm80_xmma",
        }
        for name in names
    ]
    return written(folder, *layers)


def test_a_float_kernel_that_was_chosen_is_told(file: Path, tmp_path: Path) -> None:
    layers = read_layers(engine_of(file, tmp_path, "Half"))
    found = inspect_engine(file, RELEASE, layers)
    multiply = [op for op in found.ops if op.macs]
    assert {op.dtype for op in multiply} == {"float16"}
    assert all(op.reason for op in multiply)
    assert found.int8_op_fraction == 0.0


def test_int8_kernels_are_proved_where_a_layer_names_them(file: Path, tmp_path: Path) -> None:
    whole = inspect_engine(file, RELEASE, read_layers(engine_of(file, tmp_path, "Int8")))
    assert whole.int8_op_fraction == 1.0
    assert "by its engine" in whole.runtime
    part = inspect_engine(file, RELEASE, read_layers(engine_of(file, tmp_path, "Int8", 1)))
    assert 0 < part.int8_op_fraction < 1
    unknown = [op for op in part.ops if op.macs and op.dtype != "int8"]
    assert all("no layer of the engine names it" in (op.reason or "") for op in unknown)


class Board:
    """Writes an engine's layers as the agent brings them, or fails."""

    def __init__(self, layers: Path | None) -> None:
        self.layers = layers

    def optimise(self, _: Loaded, output: Path) -> tuple[str, str]:
        if self.layers is None:
            raise AgentError("board: no inspector")
        output.write_bytes(self.layers.read_bytes())
        return "tensorrt 10.3.0", "aarch64"


def test_rules_stand_in_where_an_engine_does_not_tell(file: Path, tmp_path: Path) -> None:
    target = load_target("jetson-orin-nano")
    loaded = Loaded(describe(file), "tensorrt")

    def told(board: Any) -> str:
        return runtime("tensorrt").inspect_there(loaded, target, board, tmp_path).runtime

    assert "by its engine" in told(Board(engine_of(file, tmp_path, "Int8")))
    assert told(Board(None)).endswith("the engine does not tell its layers: board: no inspector")
    names = tmp_path / "names.json"
    names.write_text('{"Layers": ["conv1"]}')
    assert "model.onnx: the engine tells its layers' names only" in told(Board(names))
