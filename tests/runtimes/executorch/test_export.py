"""Models through ExecuTorch into a .pte file, run by the agent and compared with torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

pytest.importorskip("executorch", reason="executorch is not installed")

from pte_files import LABELS, LINEAGE, LOCAL, PteFile, net, quantised, samples
from quantizing import Inputs, calibrated, exported
from zoo.catalogue import build
from zoo.parts import Call

from edgecompress.compress.quantize import convert
from edgecompress.errors import ArtifactError, DeviceError, EdgecompressError, ModelError
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.readback import read_back
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.tensors import feed, outputs_of, write_npz
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.runtimes.executorch.constants import numbers_of
from edgecompress.runtimes.executorch.export import export

ELSEWHERE = ("/home/", "/root/", "site-packages", ".py")


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> PteFile:
    return quantised(net, tmp_path_factory.mktemp("pte") / "net.pte")


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return agent_on(HERE, tmp_path / "agent")


def run(agent: Agent, file: PteFile, inputs: Inputs, folder: Path) -> list[np.ndarray]:
    arrays = [x.numpy() for x in inputs]
    write_npz(folder / "in.npz", feed(file.artifact, arrays))
    agent.infer(loaded_here(file.artifact, LOCAL), Inference(folder / "in.npz", folder / "out.npz"))
    return list(outputs_of(file.artifact, folder / "out.npz"))


def test_the_file_computes_what_torch_does(file, agent, tmp_path):
    inputs = samples(file, 20)
    outputs = run(agent, file, inputs, tmp_path)
    one_by_one = [file.torch(tuple(x[i : i + 1] for x in inputs)) for i in range(20)]
    for index, info in enumerate(file.artifact.outputs):
        expected = torch.cat([sample[index] for sample in one_by_one]).numpy()
        assert info.scale is not None
        steps = np.abs(outputs[index] - expected) / info.scale
        # A kernel rounds ties, and what is nearly one, in its own way.
        assert steps.max() < 1.5
        assert (steps < 0.5).mean() > 0.9


def test_all_macs_are_int8(file):
    assert file.inspection.int8_op_fraction == 1
    layers = {op.module: op.macs for op in file.inspection.ops if op.macs}
    assert layers == {
        "stem": 8 * 8 * 8 * 9 * 3,
        "body.0": 8 * 8 * 8 * 9,
        "gate": 4 * 4 * 8 * 8,
        "fc": 5 * 16,
    }
    assert all(op.dtype == "int8" or op.reason for op in file.inspection.ops)


def test_the_mean_over_an_image_and_what_is_joined_are_int8(file):
    found = {op.op_type: op.dtype for op in file.inspection.ops}
    assert found["XNNGlobalAvgPooling2d"] == "int8"
    assert found["XNNConcatenate2"] == "int8"
    assert "aten::mean" not in found


def test_names_and_notes(file):
    assert [x.name for x in file.artifact.inputs] == ["in0", "in1"]
    assert [y.name for y in file.artifact.outputs] == ["out0", "out1"]
    assert file.artifact.lineage == LINEAGE
    assert file.artifact.labels == LABELS


def test_the_numbers_are_those_that_were_trained(file):
    found = read_back(numbers_of(file.artifact), file.module, file.layers)
    assert found.compared == 4
    assert not found.differences


def test_a_changed_weight_is_noticed(file, tmp_path):
    weight = dict(file.module.named_buffers())[next(iter(file.layers))]
    content = file.artifact.path.read_bytes()
    stored = weight.to(memory_format=torch.channels_last) if weight.dim() == 4 else weight
    part = stored.permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    assert content.count(part) == 1
    other = tmp_path / "other.pte"
    other.write_bytes(content.replace(part, bytes([part[0] ^ 64]) + part[1:]))
    changed = file.artifact.model_copy(update={"path": other})
    found = read_back(numbers_of(changed), file.module, file.layers)
    assert len(found.differences) == 1


def test_the_same_model_gives_the_same_bytes_in_another_process(file, tmp_path):
    """None of which are of this machine."""
    script = (
        "import sys; sys.path[:0] = [{tests!r}, {here!r}]\n"
        "from pathlib import Path\n"
        "from pte_files import net, quantised\n"
        "quantised(net, Path({path!r}))\n"
    )
    here, path = Path(__file__).parent, tmp_path / "again.pte"
    text = script.format(tests=str(here.parents[1]), here=str(here), path=str(path))
    subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, cwd=tmp_path)
    content = file.artifact.path.read_bytes()
    assert path.read_bytes() == content
    assert not [place for place in ELSEWHERE if place.encode() in content]


def test_the_portable_schemes_integers_are_those_of_onnx_runtime(agent, tmp_path):
    """They are those of its reference kernels, and so of all runtimes."""
    model, inputs = build("residual")
    prepared = calibrated(model, inputs, "portable")
    onnx = exported(prepared, model, tmp_path)
    converted = convert(prepared)
    made = export(exportable(converted.graph, inputs), tmp_path / "residual.pte")
    file = PteFile(converted.graph, inputs, made, converted.layers)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    reference = onnxruntime.InferenceSession(onnx.artifact.path, options)
    given = samples(file, 100)
    (name,) = [x.name for x in reference.get_inputs()]
    expected = [reference.run(None, {name: x[None].numpy()})[0] for x in given[0]]
    (found,) = run(agent, file, given, tmp_path)
    scale = made.outputs[0].scale
    assert scale is not None
    np.testing.assert_array_equal(np.rint(found / scale), np.rint(np.concatenate(expected) / scale))


def exportable(module: nn.Module, inputs: Inputs) -> Exportable:
    return Exportable(
        module=module,
        example_inputs=inputs,
        free_batch=False,
        input_names=tuple(f"in{index}" for index in range(len(inputs))),
        output_names=("out0",),
        lineage={},
        target=LOCAL,
    )


def test_a_float_model(agent, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten()).eval()
    inputs = (torch.randn(1, 3, 6, 6),)
    made = export(exportable(model, inputs), tmp_path / "float.pte")
    file = PteFile(model, inputs, made, {})
    assert file.inspection.int8_op_fraction == 0
    reasons = {op.op_type: op.reason for op in file.inspection.ops}
    assert reasons["XNNConv2d"] == "the file is not quantised"
    (output,) = run(agent, file, inputs, tmp_path)
    np.testing.assert_allclose(output, file.torch(inputs)[0].numpy(), atol=1e-5)


class Shared(nn.Module):
    """Every layer is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.signal = nn.Conv1d(4, 4, 3, padding=1)
        self.image = nn.Conv2d(1, 1, 3, padding=1)
        self.fc = nn.Linear(6, 6)

    def forward(self, x):
        x = self.signal(self.signal(x).relu())
        x = self.image(self.image(x[:, None]).relu())[:, 0]
        return self.fc(self.fc(x).relu())


def test_layers_that_are_used_twice(agent, tmp_path):
    torch.manual_seed(0)
    model, inputs = Shared().eval(), (torch.randn(1, 4, 6),)
    made = export(exportable(model, inputs), tmp_path / "float.pte")
    (output,) = run(agent, PteFile(model, inputs, made, {}), inputs, tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(output, model(*inputs).numpy(), atol=1e-5)
    file = quantised(lambda: (model, inputs), tmp_path / "int8.pte")
    (output,) = run(agent, file, inputs, tmp_path)
    scale = file.artifact.outputs[0].scale
    assert scale is not None
    assert np.abs(output - file.torch(inputs)[0].numpy()).max() < 1.5 * scale
    assert file.inspection.int8_op_fraction == 1


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        (nn.Conv3d(1, 1, 2), (torch.randn(1, 1, 4, 4, 4),), "kernels do not run the model"),
        (Call(lambda m, x: torch.linalg.det(x)), (torch.randn(1, 3, 3),), "linalg"),
    ],
)
def test_what_executorch_has_no_kernel_for(model, inputs, words, tmp_path):
    path = tmp_path / "none.pte"
    with pytest.raises(ModelError, match=words) as caught:
        export(exportable(model, inputs), path)
    assert "\n" not in str(caught.value)
    assert not path.exists()


def test_inputs_that_do_not_fit_and_a_damaged_file(file, agent, tmp_path):
    loaded = loaded_here(file.artifact, LOCAL)
    write_npz(tmp_path / "in.npz", {"in0": np.zeros((1, 3, 8, 8), np.float32)})
    with pytest.raises(EdgecompressError, match="the model takes: in0, in1"):
        agent.infer(loaded, Inference(tmp_path / "in.npz", tmp_path / "out.npz"))
    broken = tmp_path / "broken.pte"
    broken.write_bytes(file.artifact.path.read_bytes()[:4000])
    other = loaded_here(file.artifact.model_copy(update={"path": broken}), LOCAL)
    with pytest.raises((ArtifactError, DeviceError)) as caught:
        agent.infer(other, Inference(tmp_path / "in.npz", tmp_path / "out.npz"))
    assert "\n" not in str(caught.value)
