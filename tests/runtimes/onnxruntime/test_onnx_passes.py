"""Single facts about ONNX Runtime's kernels that the passes take care of."""

from pathlib import Path

import onnx
import pytest
import torch
from quantizing import LOCAL, Built, ZooFiles, batch, built, exported, scheme
from torch import Tensor, nn
from zoo.catalogue import build
from zoo.parts import Call, conv, head, image

from edgecompress.compress.quantize import calibrate, prepare
from edgecompress.errors import ModelError, SpecError
from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes import runtime


def nodes(file: Built, op_type: str) -> list[onnx.NodeProto]:
    graph = onnx.load(file.artifact.path).graph
    return [node for node in graph.node if node.op_type == op_type]


def pads(node: onnx.NodeProto) -> list[int]:
    return next(list(attribute.ints) for attribute in node.attribute if attribute.name == "pads")


def test_padding_before_a_convolution_becomes_its_own(zoo_files: ZooFiles) -> None:
    file = zoo_files("uneven_padding")
    assert file.kernels["Pad"] == 0
    assert [0, 0, 1, 1] in [pads(node) for node in nodes(file, "Conv")]
    assert file.steps_apart(batch(file.example_inputs, 3, seed=2)) < 2.5


def test_padding_with_two_readers_becomes_that_of_both(zoo_files: ZooFiles) -> None:
    file = zoo_files("padded_input")
    assert file.kernels["Pad"] == 0
    assert [pads(node) for node in nodes(file, "Conv")] == [[1, 1, 2, 2]] * 2


def test_padding_with_a_number_or_a_mirror_stays(zoo_files: ZooFiles) -> None:
    for name in ("padded_with_half", "reflected"):
        file = zoo_files(name)
        assert file.kernels["Pad"] == 1
        assert file.steps_apart(batch(file.example_inputs, 3, seed=2)) < 2.5


def test_residual_additions_stay_additions(zoo_files: ZooFiles) -> None:
    file = zoo_files("resnet20")
    assert file.kernels["QLinearAdd"] == 9
    assert file.kernels["QLinearConv"] == 19 + 2  # the shortcuts: see below
    assert file.float_kernels == set()


def test_a_shortcut_without_weights_is_a_convolution(zoo_files: ZooFiles) -> None:
    file = zoo_files("resnet20")
    assert file.kernels["Slice"] == 0
    assert file.kernels["Pad"] == 0
    assert file.steps_apart(batch(file.example_inputs, 3, seed=2)) < 2.5


class Shortcut(nn.Module):
    """Every n-th position, channels padded; `number` is what with."""

    def __init__(self, start: int = 0, step: int = 2, number: float = 0.0) -> None:
        super().__init__()
        self.start, self.step, self.number = start, step, number
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)[:, :, self.start :: self.step, self.start :: self.step]
        return nn.functional.pad(x, (0, 0, 0, 0, 1, 3), value=self.number)


@pytest.mark.parametrize("wanted", ["uint8", "portable"])
@pytest.mark.parametrize(
    ("shortcut", "convolutions"),
    [
        (Shortcut(), 2),
        (Shortcut(step=3), 2),
        (Shortcut(start=1), 1),
        (Shortcut(number=0.5), 1),
    ],
    ids=["half", "third", "odd positions", "padded with a half"],
)
def test_a_shortcut_gives_the_same_integers(
    shortcut: Shortcut, convolutions: int, wanted: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 7, 7)
    file = built(shortcut.eval(), (x[:1],), tmp_path, wanted)
    assert file.kernels["QLinearConv"] == convolutions
    assert file.steps_apart((x,)) <= 1.0 + 1e-3


def test_slices_of_several_axes_are_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 7, 7)
    file = built(Shortcut(start=1).eval(), (x[:1],), tmp_path)
    assert file.kernels["Slice"] == 1
    assert file.steps_apart((x,)) < 2.5


@pytest.mark.parametrize("name", ["global_mean", "global_mean_kept", "relu6", "conv3d"])
def test_means_over_positions_are_pooling(name: str, zoo_files: ZooFiles) -> None:
    file = zoo_files(name)
    assert file.kernels["QLinearGlobalAveragePool"] == 1
    assert file.kernels["ReduceMean"] == 0


def test_linear_over_a_sequence_is_one_gemm(zoo_files: ZooFiles) -> None:
    file = zoo_files("linear_3d")
    assert file.kernels["QGemm"] == 3
    assert file.kernels["MatMulIntegerToFloat"] + file.kernels["QLinearMatMul"] == 0
    assert file.kernels["Add"] + file.kernels["QLinearAdd"] == 0


def test_relu_among_others_keeps_its_own_scale(zoo_files: ZooFiles) -> None:
    file = zoo_files("concat")
    assert file.kernels["Clip"] == 0
    assert file.kernels["QLinearConcat"] == 1
    assert zoo_files("densenet").kernels["QLinearConcat"] == 0


def test_softmax_has_the_step_that_its_kernel_wants(zoo_files: ZooFiles) -> None:
    file = zoo_files("softmax_output", "uint8, integers")
    assert file.artifact.outputs[0].scale == 1 / 256
    assert file.artifact.outputs[0].zero_point == 0
    assert file.kernels["QLinearSoftmax"] == 1
    x = batch(file.example_inputs, 8, seed=2)
    assert torch.from_numpy(file.run(x)[0]).sum(-1).sub(1).abs().max() < 10 / 256


@pytest.mark.parametrize("function", [nn.Hardswish(), nn.Hardsigmoid()], ids=str)
def test_hard_activations_follow_torch_over_their_whole_range(
    function: nn.Module, tmp_path: Path
) -> None:
    spread = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(spread.weight, 5.0)
    model = nn.Sequential(spread, function).eval()
    x = torch.linspace(-1, 1, 400).reshape(1, 1, 20, 20)
    prepared = prepare(model, (x,), scheme("uint8"), "minmax")
    calibrate(prepared, [((x,), None)])
    file = exported(prepared, model, tmp_path)
    with torch.no_grad():
        wanted = model(x)
    step = file.artifact.outputs[0].scale
    assert step is not None
    worst = (torch.from_numpy(file.run((x,))[0]) - wanted).abs().max()
    # The input's own step is 10 / 255, whose slope is at most one (hard-swish) or a sixth.
    assert worst < 2 * step + 5 / 255
    assert file.float_kernels == set()


def test_a_relu_that_symmetric_scales_need_is_done_on_integers(zoo_files: ZooFiles) -> None:
    file = zoo_files("flatten_linear", "int8 symmetric")
    clips = nodes(file, "Clip")
    assert len(clips) == 2
    graph = onnx.load(file.artifact.path).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert {kinds[name] for clip in clips for name in clip.input[1:]} == {onnx.TensorProto.INT8}
    assert file.steps_apart(batch(file.example_inputs, 3, seed=2)) < 2.5


def test_a_layer_kept_in_float_is_not_quantised_by_the_runtime(tmp_path: Path) -> None:
    model = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8), nn.ReLU(), *head(8)).eval()
    file = built(model, image(), tmp_path, keep_float=("2",))
    (layer,) = (op for op in file.inspection.ops if op.module == "2" and op.macs)
    assert layer.dtype == "float32"
    assert layer.reason == "kept in float by the recipe"


def test_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    model = Call(
        lambda m, x: {"b": m.a(x).relu().mean((2, 3)), "a": m.a(x).flatten(1), "c": x * 2},
        a=conv(3, 4),
    ).eval()
    file = built(model, image(), tmp_path)
    assert [tensor.name for tensor in file.artifact.outputs] == ["out0", "out1", "out2"]
    x = batch(file.example_inputs, 2, seed=3)
    assert [array.shape for array in file.run(x)] == [tuple(t.shape) for t in file.torch(x)]
    assert file.steps_apart(x) < 2.5


def test_float_model_is_exported_as_it_is(tmp_path: Path) -> None:
    model, inputs = build("mobilenet_v2")
    exportable = Exportable(
        model, inputs, True, ("image",), ("scores",), {"stage": "baseline"}, LOCAL
    )
    artifact = runtime("onnxruntime").export(exportable, tmp_path / "float.onnx")
    kinds = {node.op_type for node in onnx.load(artifact.path).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}
    assert artifact.inputs[0].shape[0] == "batch"
    assert artifact.lineage == {"stage": "baseline"}


def test_labels_and_kept_layers_are_in_the_file(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 2)).eval()
    exportable = Exportable(
        model, (torch.randn(1, 4),), True, ("x",), ("y",), {}, LOCAL, labels=("cat", "dog")
    )
    artifact = runtime("onnxruntime").export(exportable, tmp_path / "m.onnx")
    assert artifact.labels == ("cat", "dog")


def test_what_onnx_lacks_is_refused_in_one_line(tmp_path: Path) -> None:
    class Spectral(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.svdvals(x)

    exportable = Exportable(Spectral(), (torch.randn(1, 4, 4),), True, ("x",), ("y",), {}, LOCAL)
    with pytest.raises(ModelError) as caught:
        runtime("onnxruntime").export(exportable, tmp_path / "m.onnx")
    message = str(caught.value)
    assert message.startswith("onnx: ")
    assert "svd" in message
    assert "\n" not in message
    assert len(message) < 400
    assert list(tmp_path.iterdir()) == []


def test_unknown_runtime_is_refused() -> None:
    with pytest.raises(SpecError, match="known: executorch, litert, onnxruntime"):
        runtime("tflite")
