"""Files that decode, and files of the same training that leave it to the application."""

import json
from pathlib import Path
from typing import Any

import deploying
import numpy as np
import onnxruntime
import pytest
import torch

TASK = '''
from edgecompress import Task


class Decode(nn.Module):
    """Chances, and a box of 640 pixels beside them."""

    def forward(self, outputs):
        pixels = outputs[:, :4].sigmoid() @ (640 * torch.eye(4))
        return {"chances": outputs.softmax(1), "boxes": pixels}


class Decoding(Task):
    def __init__(self):
        self.tiny = Tiny()

    def model(self):
        return self.tiny.model()

    def example_inputs(self):
        return self.tiny.example_inputs()

    def train_data(self):
        return self.tiny.train_data()

    def calibration_data(self):
        return self.tiny.calibration_data()

    def eval_data(self):
        return self.tiny.eval_data()

    def loss(self, outputs, target):
        return self.tiny.loss(outputs, target)

    def metric(self):
        return self.tiny.metric()

    def decoder(self):
        return Decode()

    def wrong_outputs(self, outputs):
        return None if set(outputs) == {"chances", "boxes"} else "it must be decoded"

    def update(self, metric, outputs, target):
        assert outputs["boxes"].amax() > 1
        metric.update(outputs["chances"], target)
'''
BECAUSE = "kept in float by the recipe: it decodes what the model puts out"
LITERT = """\
cpu: native
runtime: {name: litert, version: ">=1.0", threads: 1, delegate: xnnpack}
quantization:
  activations: {dtype: int8, scheme: affine}
  weights: {dtype: int8, granularity: per_channel}
  scales: free
round_to: 8
sparsity: [structured, unstructured]
measurement: {min_iterations: 5, min_duration_s: 0.01, turns: 1, max_warmup_s: 0}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = deploying.unmeasured(tmp_path_factory.mktemp("decoded") / "project")
    with (folder / "task.py").open("a") as file:
        file.write(TASK)
    (folder / "deploy.yaml").write_text(deploying.SHORT.replace(":Tiny}", ":Decoding}"))
    targets = folder / "targets"
    tiny = (targets / "tiny.yaml").read_text()
    (targets / "raw.yaml").write_text(tiny.replace("name: tiny", "name: raw\noutputs: raw"))
    (targets / "lite.yaml").write_text(f"name: lite\ndescription: of a test\n{LITERT}")
    return folder


def deployed(folder: Path, target: str, cli: deploying.Cli) -> dict[str, Any]:
    done = cli.run(folder, "deploy", target, "--inventory", "inventory.yaml", "--json")
    assert done.returncode in deploying.MEASURED, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def outputs_of(folder: Path, report: dict[str, Any], x: Any) -> list[Any]:
    file = folder / report["artifacts"][0]["path"]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(out) for out in session.run(None, {"images": x})]


@pytest.mark.slow
def test_a_file_decodes_as_python_does(project: Path, cli: deploying.Cli) -> None:
    decoded, raw = (deployed(project, name, cli) for name in ("tiny", "raw"))
    x = np.random.default_rng(0).standard_normal((4, 1, 8, 8), np.float32)
    chances, boxes = outputs_of(project, decoded, x)
    (scores,) = outputs_of(project, raw, x)
    torch.testing.assert_close(chances, scores.softmax(1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(boxes, scores[:, :4].sigmoid() * 640, atol=1e-3, rtol=1e-5)

    for side in ("baseline", "candidate"):
        assert decoded[side]["metric"]["value"] == raw[side]["metric"]["value"] > 0.5
        assert decoded[side]["int8_op_fraction"] == raw[side]["int8_op_fraction"]
    # The decoder is what is in float, on purpose, and the rest is as it is without it.
    floats = {
        op["op_type"]: op["reason"]
        for op in decoded["candidate"]["inspection"]["ops"]
        if op["dtype"] == "float32" and op["op_type"] in ("Softmax", "Sigmoid", "MatMul")
    }
    assert set(floats) == {"Softmax", "Sigmoid", "MatMul"}
    assert set(floats.values()) == {BECAUSE}
    assert not any(op["op_type"] in floats for op in raw["candidate"]["inspection"]["ops"])

    # Alone, a file says itself whether it decodes.
    for report in (decoded, raw):
        done = cli.run(project, "evaluate", report["artifacts"][0]["path"], "--json")
        assert json.loads(done.stdout)["value"] == report["candidate"]["metric"]["value"]


@pytest.mark.slow
def test_in_another_format(project: Path, cli: deploying.Cli) -> None:
    report = deployed(project, "lite", cli)
    assert report["candidate"]["metric"]["value"] > 0.5
    # What the decoder multiplies does not count, and says what it is for.
    assert report["candidate"]["int8_op_fraction"] == 1.0
    ops = report["candidate"]["inspection"]["ops"]
    decoding = {op["op_type"] for op in ops if op["reason"] == BECAUSE}
    assert {"LOGISTIC", "SOFTMAX"} < decoding
    assert [op for op in ops if op["macs"] and op["op_type"] in decoding]
    assert report["candidate"]["parity"]["max_output_steps"] < 2
    done = cli.run(project, "evaluate", report["artifacts"][0]["path"], "--json")
    assert json.loads(done.stdout)["value"] == report["candidate"]["metric"]["value"]


def test_what_is_no_decoder_is_refused(project: Path, tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.unmeasured(tmp_path / "project")
    with (folder / "task.py").open("a") as file:
        file.write(TASK.replace("return Decode()", "return torch.softmax"))
    (folder / "deploy.yaml").write_text(deploying.SHORT.replace(":Tiny}", ":Decoding}"))
    done = cli.run(folder)
    assert done.returncode == 2
    message = json.loads(done.stdout)["error"]["message"]
    assert "Decoding.decoder(): gives " in message
    assert "not a torch.nn.Module" in message
