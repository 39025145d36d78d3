"""What no format, release or delegate can take: one line that says what, where and what to do.

| asked for | refused or explained here, and by |
|---|---|
| an operator that the format lacks | here for all formats; test_litert: what MLIR cannot legalise |
| the wrong opset for a release | here; test_tensorrt_rules; test_tensorrt: a release too old |
| uint8 activations of TensorRT | here, target and file; test_tensorrt: at the export |
| more than 2 GB | here, ONNX; test_litert and test_tflite_file: TFLite, written and read |
| control flow | here; test_litert; test_quantize_graph; test_bad_input: a whole deploy |
| rank 5 under NNAPI | test_nnapi; test_formats: the reason on the command line |
"""

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from quantizing import ZooFiles, batch, built
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from zoo.parts import Call

from edgecompress.errors import EXIT_BAD_INPUT, ArtifactError, EdgecompressError
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx import document as onnx_document
from edgecompress.formats.onnx.file import describe
from edgecompress.runtimes import runtime as known
from edgecompress.runtimes.tensorrt.rules import tensorrt_violations
from edgecompress.spec.load import load_target

TARGETS = {
    "onnxruntime": "local-onnxruntime",
    "litert": "local-litert",
    "tensorrt": "jetson-orin-nano",
}


def refusal(work: Callable[[], object]) -> str:
    """The one line, of an error that means exit code 2."""
    with pytest.raises(EdgecompressError) as caught:
        work()
    assert caught.value.exit_code == EXIT_BAD_INPUT
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def export(model: nn.Module, x: Tensor, folder: Path, runtime: str = "onnxruntime") -> object:
    if runtime == "litert":
        pytest.importorskip("litert_torch", reason="litert-torch is not installed")
    target = load_target(TARGETS[runtime])
    exportable = Exportable(model.eval(), (x,), True, ("x",), ("y",), {}, target)
    return known(runtime).export(exportable, folder / "model")


@pytest.mark.parametrize("runtime", TARGETS)
def test_an_operator_that_the_format_lacks(runtime: str, tmp_path: Path) -> None:
    model = Call(lambda _, x: torch.linalg.svdvals(x))
    message = refusal(lambda: export(model, torch.randn(1, 4, 4), tmp_path, runtime))
    assert message.startswith("litert: " if runtime == "litert" else "onnx: ")
    assert "_linalg_svd" in message
    assert "operator" in message.rpartition(";")[2]  # what to do: replace it
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_another_target_given_to_a_jetson(zoo_files: ZooFiles) -> None:
    """Its opset is too new for TensorRT 8.6, and its activations are uint8."""
    path = zoo_files("flatten_linear").artifact.path
    found = {violation.rule: str(violation) for violation in tensorrt_violations(path, (8, 6))}
    assert found["opset"] == (
        "the file: opset 20; TensorRT 8.6 reads 7 to 17; deploy for a target of that release"
        " (rule opset)"
    )
    assert "quantises to uint8; TensorRT takes int8; deploy for a target" in found["int8"]


@pytest.mark.parametrize("runtime", ["tensorrt", "litert"])
def test_uint8_activations_in_a_target(runtime: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "targets" / f"{TARGETS[runtime]}.yaml").read_text()
    start = text.index("activations:")
    rest = text[start:].partition("\n")[2]
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"{text[:start]}activations: {{dtype: uint8, scheme: affine}}\n{rest}")
    message = refusal(lambda: load_target(str(mine)))
    assert message.startswith(f"{mine}: ")
    assert "activations only; write activations: {dtype: int8, scheme: " in message


def test_more_than_an_onnx_file_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Linear(64, 32, bias=False), torch.randn(1, 64)
    monkeypatch.setattr(onnx_document, "MAX_BYTES", 64 * 32 * 4)
    export(model, x, tmp_path)
    monkeypatch.setattr(onnx_document, "MAX_BYTES", 64 * 32 * 4 - 1)
    for runtime in ("onnxruntime", "tensorrt"):
        message = refusal(lambda runtime=runtime: export(model, x, tmp_path, runtime))
        assert message.startswith("onnx: the weights take 0.0 GB and an ONNX file")
        assert message.endswith("prune or quantise the model")


def test_a_file_larger_than_onnx_files_are(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    path.touch()
    os.truncate(path, 2**31)  # sparse: it takes no space
    with pytest.raises(ArtifactError, match=r"large\.onnx: has 2\.0 GiB, and an ONNX file ends at"):
        describe(path)


def branches(_: Call, x: Tensor) -> Tensor:
    return x + 1 if x.sum() > 0 else x - 1


def repeats(_: Call, x: Tensor) -> Tensor:
    while x.sum() > 0:
        x = x - 1
    return x


@pytest.mark.parametrize("runtime", TARGETS)
@pytest.mark.parametrize("forward", [branches, repeats])
def test_python_control_flow_on_data(
    forward: Callable[..., Tensor], runtime: str, tmp_path: Path
) -> None:
    message = refusal(lambda: export(Call(forward), torch.ones(1, 4), tmp_path, runtime))
    assert message.endswith("remove data-dependent Python control flow from forward()")
    assert list(tmp_path.iterdir()) == []


def test_a_loop_operator_is_not_quantised(tmp_path: Path) -> None:
    def forward(m: Call, x: Tensor) -> Tensor:
        return while_loop(lambda x: x.sum() > 0, lambda x: (x - 1,), (m.fc(x),))[0]

    model = Call(forward, fc=nn.Linear(4, 4)).eval()
    message = refusal(lambda: built(model, (torch.ones(1, 4),), tmp_path))
    assert "a loop (while_loop) cannot be quantised; unroll it" in message
    assert [node.op_type for node in _exported(model, tmp_path)].count("Loop") == 1


def test_a_branch_operator_stays_in_float_with_its_reason(tmp_path: Path) -> None:
    def forward(m: Call, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: m.left(x), lambda x: m.right(x), (m.fc(x),))

    torch.manual_seed(0)
    layers = {name: nn.Linear(4, 4) for name in ("fc", "left", "right")}
    file = built(Call(forward, **layers).eval(), (torch.randn(1, 4),), tmp_path)
    for sign in (1, -1):
        x = batch(file.example_inputs, 1, seed=3)[0].abs() * sign
        assert file.steps_apart((x,)) < 1
    by_type = {op.op_type: op for op in file.inspection.ops}
    assert by_type["QGemm"].dtype == "int8"
    assert by_type["If"].reason == "ONNX Runtime has no int8 kernel for If"
    assert by_type["Gemm"].dtype == "float32"
    assert by_type["Gemm"].reason


def _exported(model: nn.Module, folder: Path) -> list[onnx.NodeProto]:
    export(model, torch.ones(1, 4), folder)
    return list(onnx.load(folder / "model").graph.node)
