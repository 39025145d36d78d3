"""Commands on a TFLite file, by its suffix and by a target's rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_files import linear

pytest.importorskip("ai_edge_litert", reason="TFLite needs ai-edge-litert")

from ai_edge_litert import schema_py_generated as schema
from tflite_files import FileBuilder, float_edges

from edgecompress import pipeline
from edgecompress.errors import ArtifactError, SpecError
from edgecompress.pipeline.formats import describe_file
from edgecompress.progress import SilentProgress

TASK = """\
import torch
from edgecompress import ClassificationTask


class Brightest(ClassificationTask):
    \"\"\"Which of three channels is the brightest.\"\"\"

    classes = 3

    def model(self):
        pool = torch.nn.AdaptiveAvgPool2d(1)
        return torch.nn.Sequential(pool, torch.nn.Flatten())

    def example_inputs(self):
        return (torch.zeros(1, 3, 4, 5),)

    def train_data(self):
        return self.eval_data()

    def eval_data(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(16, 3, 4, 5, generator=generator)
        return [(images, images.mean((2, 3)).argmax(1))]
"""
DEPLOY = """\
task: {path: task.py:Brightest}
seed: 0
quantize: {mode: ptq, ranges: minmax, calibration_batches: 1}
budgets: {max_metric_drop: 0.1}
"""


def brightest(path: Path, layout: str) -> Path:
    """Mean over height and width of 'image' [1, 4, 5, 3] to 'scores' [1, 3], in float."""
    b = FileBuilder()
    b.tensor("x", (1, 4, 5, 3), "float32")
    axes = b.integers("axes", [1, 2])
    b.op("MEAN", ["x", axes], [b.tensor("y", (1, 3), "float32")], 2, schema.ReducerOptionsT())
    metadata = {"edgecompress.layout": json.dumps({"image": layout}).encode()}
    return b.save(path, {"x": "image"}, {"y": "scores"}, metadata)


def test_evaluate_permutes_the_tasks_images(tmp_path):
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "deploy.yaml").write_text(DEPLOY)
    file = brightest(tmp_path / "m.tflite", "nhwc")

    evaluation = pipeline.evaluate_file(file, tmp_path / "deploy.yaml", SilentProgress())

    assert (evaluation.value, evaluation.samples) == (1.0, 16)


def test_measure_two_files_of_different_edges(tmp_path):
    quick = Path(__file__).parent / "tiny" / "targets" / "tiny.yaml"
    b = FileBuilder()
    b.tensor("x", (1, 3, 6, 6), "int8", 0.0625, 0)
    b.op("ABS", ["x"], [b.tensor("y", (1, 3, 6, 6))])
    int8 = b.save(tmp_path / "int8.tflite", {"x": "image"}, {"y": "out"})
    metadata = {"edgecompress.layout": b'{"image": "nhwc"}'}
    last = float_edges(tmp_path / "float.tflite", metadata)

    found = pipeline.measure_file(int8, last, pipeline.HowMeasured(str(quick)), SilentProgress())

    assert found.baseline.latency_ms_p50 > 0
    assert found.candidate.turns[0].versions["ai-edge-litert"]


def test_inspect_by_the_rules_of_a_target(tmp_path):
    file = float_edges(tmp_path / "m.tflite")

    here = pipeline.inspect_file(file)
    phone = pipeline.inspect_file(file, "android-nnapi")
    gpu = pipeline.inspect_file(file, "android-gpu")

    assert {op.delegated for op in here.ops} == {None}
    assert {op.delegated for op in phone.ops} == {True}
    assert (phone.runtime, phone.machine) == (
        "litert >=2.14, nnapi at API level 30",
        "aarch64",
    )
    assert (here.int8_op_fraction, gpu.int8_op_fraction) == (1, 0)


def test_a_target_whose_runtime_does_not_run_the_format(tmp_path):
    tflite = float_edges(tmp_path / "m.tflite")
    linear(tmp_path / "m.onnx", 3, 2)

    with pytest.raises(SpecError, match=r"m\.tflite: onnxruntime runs onnx, not tflite"):
        pipeline.inspect_file(tflite, "local-onnxruntime")
    with pytest.raises(SpecError, match=r"m\.onnx: litert runs tflite, not onnx"):
        pipeline.inspect_file(tmp_path / "m.onnx", "local-litert")


def test_files_of_no_known_format(tmp_path):
    other = tmp_path / "m.pt"
    other.touch()

    with pytest.raises(ArtifactError, match=r"format '\.pt' is unknown; known: \.onnx, \.tflite"):
        describe_file(other)
    with pytest.raises(ArtifactError, match="cannot be read: No such file"):
        describe_file(tmp_path / "none.pt")


def test_the_command_line_shows_who_takes_what(tmp_path):
    b = FileBuilder()
    b.tensor("x", (1, 2, 2, 2, 2))
    b.op("ADD", ["x", "x"], [b.tensor("y", (1, 2, 2, 2, 2))], 2, schema.AddOptionsT())
    b.save(tmp_path / "m.tflite", {"x": "x"}, {"y": "y"})

    done = subprocess.run(
        [sys.executable, "-m", "edgecompress", "inspect", "m.tflite", "--target", "android-nnapi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "delegated" in done.stdout
    assert "no: NNAPI:" in done.stdout
    assert "by litert >=2.14, nnapi at API level 30 on aarch64" in done.stdout


def test_an_onnx_file_by_the_runtime_here_and_by_the_rules_of_tensorrt(tmp_path):
    linear(tmp_path / "m.onnx", 3, 2)

    here = pipeline.inspect_file(tmp_path / "m.onnx")
    board = pipeline.inspect_file(tmp_path / "m.onnx", "jetson-orin-nano")

    assert here.runtime.startswith("onnxruntime ")
    assert "tensorrt" in board.runtime.lower()
    assert {op.dtype for inspection in (here, board) for op in inspection.ops} == {"float32"}
