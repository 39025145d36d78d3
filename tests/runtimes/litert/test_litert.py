"""Models through litert-torch into a TFLite file, run by LiteRT and compared with torch."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("litert_torch", reason="litert-torch is not installed")

from litert_files import INT8, LITERT, export, quantised, random_inputs
from zoo.catalogue import build
from zoo.parts import Call, conv, image

from edgecompress.errors import ModelError
from edgecompress.runtimes import runtime
from edgecompress.spec.runtime import Edges

FLOAT_NHWC = Edges(dtype="float32", layout="nhwc")


class Block(nn.Module):
    """What a CIFAR ResNet has: a strided block whose shortcut drops pixels and adds channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.down = nn.Conv2d(8, 16, 3, 2, 1)
        self.mix = conv(16, 16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        x = (self.mix(self.down(x).relu()) + shortcut).relu()
        return self.fc(functional.avg_pool2d(x, 4).flatten(1))


def block() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Block().eval(), image()


def test_a_residual_block_is_what_tensorflow_would_have_written(tmp_path: Path) -> None:
    notes = {"lineage": {"task": "t"}, "labels": ("cat", "dog")}
    file = quantised(*block(), tmp_path, **notes)
    assert dict(file.kinds) == {
        "CONV_2D": 3,
        "PAD": 2,  # of the strided convolution, which SAME would pad elsewhere, and of channels
        "STRIDED_SLICE": 1,
        "ADD": 1,
        "MEAN": 1,
        "FULLY_CONNECTED": 1,
    }
    assert file.steps_apart() < 2.5
    assert file.steps_apart("BUILTIN_REF") < 2.5
    (x,), (y,) = file.artifact.inputs, file.artifact.outputs
    assert (x.name, x.shape, x.dtype, x.layout) == ("in0", (1, 8, 8, 3), "int8", "nhwc")
    assert (y.name, y.shape, y.dtype) == ("out0", (1, 10), "int8")
    assert x.scale is not None
    assert y.scale is not None
    assert file.artifact.lineage == {"task": "t"}
    assert file.artifact.labels == ("cat", "dog")
    names = {x.name for op in file.graph.operators for x in (*op.inputs, *op.outputs) if x}
    assert {"stem", "stem.weight", "stem.bias", "down", "mix", "fc", "fc.weight"} <= names
    _check_weights(file)


def _check_weights(file: object) -> None:
    for op in file.graph.operators:  # type: ignore[attr-defined]
        if op.op_type in ("CONV_2D", "FULLY_CONNECTED"):
            x, weight, bias = op.inputs
            assert (weight.dtype, bias.dtype) == ("int8", "int32")
            assert weight.qparams.scale.size == weight.shape[0]
            assert not weight.qparams.zero_point.any()
            assert np.allclose(bias.qparams.scale, x.qparams.scale * weight.qparams.scale)


def test_float_edges_are_the_only_floats(tmp_path: Path) -> None:
    file = quantised(*build("mobilenet_v3"), tmp_path, edges=FLOAT_NHWC)
    assert file.float_kinds == set()
    kinds = [op.op_type for op in file.graph.operators]
    assert (kinds[0], kinds[-1]) == ("QUANTIZE", "DEQUANTIZE")
    assert (file.kinds["QUANTIZE"], file.kinds["DEQUANTIZE"]) == (1, 1)
    assert file.kinds["TRANSPOSE"] == 0
    assert {tensor.dtype for tensor in file.artifact.inputs + file.artifact.outputs} == {"float32"}
    assert file.artifact.inputs[0].shape == (1, 16, 16, 3)
    assert file.steps_apart() < 2.5


def test_transposed_convolutions_in_nchw(tmp_path: Path) -> None:
    file = quantised(*build("decoder"), tmp_path, edges=Edges(dtype="int8", layout="nchw"))
    assert file.artifact.inputs[0].shape == (1, 3, 8, 8)
    assert file.artifact.inputs[0].layout == "nchw"
    assert file.float_kinds == set()
    assert file.kinds["TRANSPOSE_CONV"] == 1
    assert file.steps_apart() < 2.5


def test_kernels_with_one_output_scale_under_a_symmetric_scheme(tmp_path: Path) -> None:
    file = quantised(*build("softmax_output"), tmp_path, "symmetric")
    assert (file.artifact.outputs[0].scale, file.artifact.outputs[0].zero_point) == (1 / 128, 0)
    assert file.float_kinds == {"SOFTMAX"}
    assert file.steps_apart() < 1.5


def test_sums_of_what_softmax_gives_under_a_symmetric_scheme(tmp_path: Path) -> None:
    """As a YOLO's boxes, and attention: rounding that leans to one side adds up in them."""

    def expect(m: Call, x: Tensor) -> Tensor:
        return m.sum(m.scores(x).softmax(1))

    torch.manual_seed(0)
    model = Call(expect, scores=nn.Conv2d(3, 16, 1), sum=nn.Conv2d(16, 1, 1, bias=False))
    with torch.no_grad():
        model.sum.weight.copy_(torch.arange(16.0).reshape(1, 16, 1, 1))
    file = quantised(model.eval(), (torch.randn(1, 3, 4, 4),), tmp_path, "symmetric", bits=7)
    assert file.steps_apart() < 0.5
    assert file.steps_apart("BUILTIN_REF") < 0.5


@pytest.mark.parametrize("value", [-1e9, -50.0])
def test_masks_keep_out_what_they_mask(tmp_path: Path, value: float) -> None:
    def attend(m: Call, x: Tensor) -> Tensor:
        mask = torch.ones(6, 6, dtype=torch.bool).triu(1)
        scores = (m.query(x) @ m.key(x).transpose(1, 2)).masked_fill(mask, value)
        return scores.softmax(-1) @ x

    torch.manual_seed(0)
    model = Call(attend, query=nn.Linear(8, 8), key=nn.Linear(8, 8)).eval()
    file = quantised(model, (torch.randn(1, 6, 8),), tmp_path)
    assert file.float_kinds == {"ADD", "SOFTMAX"}
    x = random_inputs(file.example_inputs, 1, 7)
    # The first row attends to itself alone.
    step = file.artifact.outputs[0].scale
    assert np.abs(file.run(x)[0][0, 0] - x[0].numpy()[0, 0]).max() < 2.5 * step
    assert file.steps_apart() < 2.5


def test_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    def forward(m: Call, x: Tensor) -> dict[str, Tensor]:
        seen = m.conv(x).relu()
        return {"b": seen.amax((2, 3)), "a": seen, "c": m.fc(seen.flatten(1))}

    torch.manual_seed(0)
    model = Call(forward, conv=conv(3, 4), fc=nn.Linear(4 * 64, 3)).eval()
    file = quantised(model, image(), tmp_path)
    assert [(y.name, y.shape) for y in file.artifact.outputs] == [
        ("out0", (1, 4)),
        ("out1", (1, 4, 8, 8)),
        ("out2", (1, 3)),
    ]
    assert file.steps_apart() < 2.5
    # Flattened channels last, with the columns of fc in that order; out1 is NCHW again.
    assert file.kinds["TRANSPOSE"] == 1


def test_a_float_model_stays_float_and_agrees(tmp_path: Path) -> None:
    file = export(*block(), tmp_path, edges=INT8)
    assert {x.dtype for op in file.graph.operators for x in op.outputs} == {"float32"}
    assert file.artifact.inputs[0].shape == (1, 8, 8, 3)
    assert file.kinds["TRANSPOSE"] == 0
    x = random_inputs(file.example_inputs, 1, 3)
    assert np.abs(file.run(x)[0] - file.torch(x)[0].numpy()).max() < 1e-5


def test_a_layer_kept_in_float(tmp_path: Path) -> None:
    file = quantised(*block(), tmp_path, keep_float=("mix",))
    (kept,) = (op for op in file.graph.operators if op.outputs[0].name == "mix")
    assert (kept.op_type, kept.inputs[1].dtype) == ("CONV_2D", "float32")
    assert b"mix" in file.content.metadata["edgecompress.keep_float"]
    assert file.steps_apart() < 2.5


def test_nnapi_gets_convolutions_for_linear_layers(tmp_path: Path) -> None:
    runtime = LITERT.runtime.model_copy(update={"delegate": "nnapi", "api_level": 30})
    target = LITERT.model_copy(update={"runtime": runtime, "edges": INT8})
    file = quantised(*build("flatten_linear"), tmp_path, target=target)
    assert file.kinds["FULLY_CONNECTED"] == 0
    assert file.kinds["TRANSPOSE"] == 0
    assert file.steps_apart() < 2.5


def test_the_same_model_gives_the_same_bytes_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        capfd.readouterr()
        file = export(model, (torch.ones(1, 4),), tmp_path / name)
        assert capfd.readouterr() == ("", "")
        assert [p.name for p in (tmp_path / name).iterdir()] == ["model.tflite"]
        digests.add(hashlib.sha256(file.artifact.path.read_bytes()).hexdigest())
    assert len(digests) == 1


def _refused(model: nn.Module, x: Tensor, folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        export(model, (x,), folder)
    message = str(caught.value)
    assert message.startswith("litert: ")
    assert "\n" not in message
    assert len(message) < 400
    assert list(folder.iterdir()) == []
    return message


def test_what_tflite_lacks_is_refused_by_the_name_of_the_operator(tmp_path: Path) -> None:
    assert "linalg_svd" in _refused(
        Call(lambda _, x: torch.linalg.svdvals(x)), torch.randn(1, 4, 4), tmp_path
    )


def test_control_flow_is_refused(tmp_path: Path) -> None:
    def forward(_: Call, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))

    assert "control flow (cond)" in _refused(Call(forward), torch.ones(1, 4), tmp_path)

    def branch(_: Call, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1

    assert "control flow" in _refused(Call(branch), torch.ones(1, 4), tmp_path)


def test_more_than_two_gigabytes_are_refused_before_any_work(tmp_path: Path) -> None:
    model = nn.Linear(1 << 15, 1 << 14, device="meta")
    x = torch.empty(1, 1 << 15, device="meta")
    message = _refused(model, x, tmp_path)
    assert "2.1 GB" in message
    assert runtime("litert").format.suffix == ".tflite"
