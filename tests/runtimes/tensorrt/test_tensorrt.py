"""Files for TensorRT: numbers as torch has them, rules of three releases, float16, residual sums.

TensorRT itself is not needed: Q/DQ is computed in float, as it is written, by ONNX Runtime with
its optimisations disabled (with them, int8 kernels take over, which saturate on x86 without VNNI).
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from quantizing import scheme
from tensorrt_files import CLOSE, RELEASES, File, Release, exported, quantised, target
from torch import nn
from zoo.catalogue import build
from zoo.parts import Call, conv, head, image

from edgecompress.compress.quantize import Quantized
from edgecompress.errors import ModelError
from edgecompress.formats.exportable import Exportable
from edgecompress.pipeline.files import float32_only
from edgecompress.runtimes import runtime
from edgecompress.task.kinds.audio import ExactLogMel


@cache
def of_zoo(name: str) -> Quantized:
    return quantised(*build(name))


SLOW = {"decoder", "mobilenet_v3", "recurrent", "resnet20", "transformer"}
CASES = [
    *product(("residual_relu6", "multi_head_attention"), RELEASES),
    *(("concat", (8, 6)), ("depthwise_separable", (10, 3)), ("uneven_padding", (11, 0))),
    # The oldest and the newest: 10.3 is written as 11 is, with another number of the opset.
    *(
        pytest.param(name, release, marks=pytest.mark.slow)
        for name, release in product(sorted(SLOW), ((8, 6), (11, 0)))
    ),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Release], File]:
    """Models of the zoo, each exported once for a release."""

    @cache
    def build_once(name: str, release: Release) -> File:
        return exported(of_zoo(name), tmp_path_factory.mktemp(name), release)

    return build_once


Files = Callable[[str, Release], File]
ON_ORIN: Release = (10, 3)


@pytest.mark.parametrize(("name", "release"), CASES)
def test_file_agrees_with_torch_and_breaks_no_rule(
    name: str, release: Release, files: Files
) -> None:
    file = files(name, release)
    assert file.steps_apart(3) < CLOSE
    assert file.inspection.violations == ()
    model = onnx.load(file.artifact.path)
    onnx.checker.check_model(model, full_check=True)
    assert {one.domain: one.version for one in model.opset_import}[""] == RELEASES[release]
    not_int8 = [op for op in file.inspection.ops if op.macs and op.dtype != "int8"]
    assert {op.op_type for op in not_int8} <= {"GRU"}
    assert all(op.reason for op in not_int8)
    assert file.artifact.inputs[0].shape[0] == "batch"
    assert file.artifact.lineage == {"stage": "quantize"}


def test_weights_are_float_before_their_q_dq_under_the_users_names(files: Files) -> None:
    file = files("residual_relu6", ON_ORIN)
    quantizers = {node.input[0]: node for node in file.nodes("QuantizeLinear")}
    readers = Counter(name for node in file.graph.node for name in node.input)
    for name, array in file.constants.items():
        assert array.dtype != np.int8 or not array.any()  # zero points only
        if name.endswith(".weight"):
            assert array.dtype == np.float32
            assert readers[quantizers[name].output[0]] == 1
    assert {name for name in file.constants if name.endswith(".weight")} == {
        f"{path}.weight" for path in file.quantized.layers.values()
    }


def test_nothing_but_dq_reads_what_q_wrote(files: Files) -> None:
    file = files("multi_head_attention", ON_ORIN)
    written = {node.output[0] for node in file.nodes("QuantizeLinear")}
    reading = {node.op_type for node in file.graph.node if written & set(node.input)}
    assert reading == {"DequantizeLinear"}


def producers(file: File) -> dict[str, str]:
    return {name: node.op_type for node in file.graph.node for name in node.output}


def test_a_residual_addition_reads_its_convolution_directly(files: Files) -> None:
    file = files("residual_relu6", ON_ORIN)
    (add,) = file.nodes("Add")
    by = producers(file)
    assert sorted(by[name] for name in add.input) == ["Conv", "DequantizeLinear"]
    # Both branches end in convolutions: the later one takes the sum in.
    order = [node.output[0] for node in file.graph.node if node.op_type == "Conv"]
    assert add.input[[by[name] for name in add.input].index("Conv")] == order[-1]


def test_a_convolution_that_others_read_keeps_its_q_dq(tmp_path: Path) -> None:
    model = Call(
        lambda m, x: m.head((y := m.a(x)) + x + m.b(y)),
        a=conv(3, 3), b=conv(3, 3), head=nn.Sequential(*head(3)),
    ).eval()  # fmt: skip
    file = exported(quantised(model, image()), tmp_path)
    by = producers(file)
    assert sorted([sorted(by[name] for name in add.input) for add in file.nodes("Add")]) == [
        ["Conv", "DequantizeLinear"],
        ["DequantizeLinear", "DequantizeLinear"],
    ]
    assert file.inspection.violations == ()


def test_what_is_not_int8_is_float16_in_the_graph(files: Files, tmp_path: Path) -> None:
    file = files("multi_head_attention", ON_ORIN)
    dtypes = {op.op_type: op.dtype for op in file.inspection.ops if op.op_type != "Cast"}
    assert dtypes["Softmax"] == "float16"
    casts = [node.attribute[0].i for node in file.nodes("Cast")]
    assert sorted(casts) == [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16]
    plain = exported(of_zoo("layer_norm"), tmp_path, float_dtype="float32")
    assert plain.nodes("Cast") == []


def test_layers_kept_in_float_have_float16_weights(tmp_path: Path) -> None:
    model = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8), nn.Tanh(), *head(8)).eval()
    file = exported(quantised(model, image(), keep_float=("2", "3")), tmp_path)
    assert file.constants["2.weight"].dtype == np.float16
    assert file.steps_apart(3) < CLOSE
    kept = [op for op in file.inspection.ops if op.reason == "kept in float by the recipe"]
    assert {op.dtype for op in kept} == {"float16"}
    # One Cast into the region and one out of it.
    assert len(file.nodes("Cast")) == 2


def test_a_front_end_that_says_so_stays_in_float32(tmp_path: Path) -> None:
    """Its whole numbers are beyond what float16 has, and none of its constants is."""
    front = ExactLogMel(8000, bands=8, window=64, hop=32)
    body = nn.Sequential(conv(1, 8), nn.ReLU(), *head(8))
    model = nn.Sequential(nn.Sequential(front), body).eval()
    assert list(float32_only(model)) == ["0.0"]
    clips = ((torch.randn(1, 512) * 0.2).clamp(-1, 1),)
    made = quantised(model, clips, keep_float=("0",))
    file = exported(made, tmp_path, float32_only=("0.0",))
    assert {op.dtype for op in file.inspection.ops if (op.module or "").startswith("0")} == {
        "float32"
    }
    assert file.steps_apart(3) < CLOSE
    # In float16 it is another input that the network gets.
    assert exported(made, tmp_path).steps_apart(3) > CLOSE


def test_numbers_beyond_float16_keep_their_operator_in_float32(tmp_path: Path) -> None:
    model = Call(
        lambda m, x: m.fc((m.a(x) + torch.where(x > 0, 0.0, -1e9)).clamp(max=9.0).softmax(-1)),
        a=nn.Linear(8, 8), fc=nn.Linear(8, 4),
    ).eval()  # fmt: skip
    file = exported(quantised(model, (torch.randn(1, 5, 8),)), tmp_path)
    assert file.steps_apart(3) < CLOSE
    ops = {op.op_type: op for op in file.inspection.ops}
    assert ops["Softmax"].dtype == "float32"
    assert "-1e+09 does not fit float16" in (ops["Where"].reason or "")


def test_a_float_model_stays_float32(tmp_path: Path) -> None:
    model, inputs = build("residual_relu6")
    exportable = Exportable(model, inputs, True, ("x",), ("y",), {}, target((8, 6)))
    artifact = runtime("tensorrt").export(exportable, tmp_path / "float.onnx")
    graph = onnx.load(artifact.path).graph
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear", "Cast"}
    assert onnx.TensorProto.FLOAT16 not in {one.data_type for one in graph.initializer}


def test_the_same_model_gives_the_same_bytes(files: Files, tmp_path: Path) -> None:
    again = exported(of_zoo("concat"), tmp_path, (8, 6))
    assert again.artifact.sha256 == files("concat", (8, 6)).artifact.sha256


def refused(quantized: Quantized, path: Path, release: Release) -> str:
    with pytest.raises(ModelError) as caught:
        exported(quantized, path, release)
    assert list(path.iterdir()) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_uint8_activations_are_refused_by_name(tmp_path: Path) -> None:
    message = refused(quantised(*build("flatten_linear"), scheme("uint8")), tmp_path, (10, 3))
    assert message.startswith("tensorrt 10.3: ")
    assert "more)" in message
    assert "zero point" in message


def test_what_a_release_lacks_is_refused_by_name(tmp_path: Path) -> None:
    message = refused(of_zoo("layer_norm"), tmp_path, (8, 5))
    assert "TensorRT 8.5 has no LayerNormalization; 8.6 has it (rule operators)" in message


def test_a_release_that_is_too_old_is_refused(tmp_path: Path) -> None:
    assert "TensorRT 8.5 or later" in refused(of_zoo("concat"), tmp_path, (8, 2))
