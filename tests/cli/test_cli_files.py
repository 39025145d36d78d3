"""Commands on files and runs: inspect, measure, evaluate, runs, report, init."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx_files import constant, linear
from reports import synthetic_report

from edgecompress.spec.load import load_target
from edgecompress.store import Store

TASK = """\
import torch
from edgecompress import ClassificationTask


class Always(ClassificationTask):
    classes = 2

    def model(self):
        return torch.nn.Linear(3, 2)

    def example_inputs(self):
        return (torch.zeros(1, 3),)

    def train_data(self):
        return self.eval_data()

    def eval_data(self):
        # The file's scores are equal, so class 0 is its answer: right for 3 of 4.
        print("a task may print", flush=True)
        return [(torch.zeros(4, 3), torch.tensor([0, 1, 0, 0]))]
"""
DEPLOY = """\
task: {path: task.py:Always}
seed: 0
quantize: {mode: ptq, ranges: minmax, calibration_batches: 1}
budgets: {max_metric_drop: 0.1}
"""


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgecompress", *arguments],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """stdout as the one JSON document that it must be."""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    linear(path, features=3, classes=2)
    return path


def test_inspect(tmp_path: Path, model: Path) -> None:
    done = run("inspect", "model.onnx", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = document(done)
    assert (found["file"], found["macs"], found["int8_op_fraction"]) == ("model.onnx", 6, 0.0)
    assert [op["dtype"] for op in found["ops"]] == ["float32"]
    assert "0.0% of 6 MACs in int8 kernels" in run("inspect", "model.onnx", folder=tmp_path).stdout


def test_inspect_refuses_what_is_not_int8_enough(tmp_path: Path, model: Path) -> None:
    done = run("inspect", "model.onnx", "--require-int8", "0.95", "--json", folder=tmp_path)
    assert done.returncode == 3
    assert document(done)["int8_op_fraction"] == 0.0  # the result, and no second document
    assert done.stderr == (
        "error: model.onnx: int8 kernels run 0.0% of the MACs, --require-int8 asks for 95.0%\n"
    )
    assert run("inspect", "model.onnx", "--require-int8", "0", folder=tmp_path).returncode == 0


def test_inspect_refuses_what_tensorrt_will_not_take(tmp_path: Path, model: Path) -> None:
    graph = onnx.load(model)
    graph.opset_import[0].version = 23
    onnx.save(graph, model)
    done = run("inspect", "model.onnx", "--target", "jetson-xavier-nx", "--json", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "opset" in document(done)["violations"][0]
    assert done.stderr.startswith("error: model.onnx: TensorRT 8.5")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.onnx").write_bytes(content)
    for command in ("inspect", "measure"):
        done = run(command, "x.onnx", "--json", folder=tmp_path)
        error = document(done)["error"]
        assert (done.returncode, error["kind"]) == (2, "ArtifactError")
        assert "x.onnx" in error["message"]


def test_measure_alone_and_in_turns(tmp_path: Path, model: Path) -> None:
    quick = load_target("local-onnxruntime").model_dump(mode="json")
    quick["name"] = "quick"
    brief = {"warmup_iterations": 1, "max_warmup_s": 0, "min_iterations": 3}
    quick["measurement"] = {**brief, "min_duration_s": 0.001, "turns": 2}
    (tmp_path / "quick.yaml").write_text(json.dumps(quick))
    alone = document(
        run("measure", "model.onnx", "--target", "./quick.yaml", "--json", folder=tmp_path)
    )
    # Of a busy machine all are kept, and there are twice as many.
    assert len(alone["turns"]) == 2 or not alone["validity"]["valid"]
    assert alone["latency_ms_p50"] > 0
    named = run("measure", "model.onnx", "--protocol", "slow", "--json", folder=tmp_path)
    assert (named.returncode, document(named)["error"]["message"]) == (
        2,
        "protocol 'slow' is unknown; known: quick, standard, sustained, paced, throughput",
    )
    arguments = ("--target", "./quick.yaml", "--against", "model.onnx", "--threads", "2")
    both = document(run("measure", "model.onnx", *arguments, "--json", folder=tmp_path))
    assert both["baseline"]["turns"][0]["threads"] == 2
    assert both["speedup_low"] <= both["speedup"] <= both["speedup_high"]
    shown = run("measure", "model.onnx", *arguments, folder=tmp_path)
    assert shown.returncode == 0
    assert re.search(r"valid +(yes|no) +(yes|no)", shown.stdout)
    assert "latency_ms_p50" in shown.stdout
    # A file against itself may come out on either side.
    assert re.search(r"(faster|slower|about equal) \(95 % interval", shown.stdout)
    assert "[measure]" not in shown.stdout  # progress goes to stderr
    assert "[measure] finished" in shown.stderr


def test_evaluate_and_a_task_that_prints(tmp_path: Path) -> None:
    constant(tmp_path / "model.onnx", fill=0.0, features=3, classes=2)
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "deploy.yaml").write_text(DEPLOY)
    done = run("evaluate", "model.onnx", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = document(done)
    assert (found["value"], found["samples"], found["higher_is_better"]) == (0.75, 4, True)
    assert "a task may print" in done.stderr


@pytest.fixture
def run_ids(tmp_path: Path) -> list[str]:
    """Three finished runs, oldest first."""
    store = Store(tmp_path / "runs")
    ids = []
    for _ in range(3):
        run_id = store.start_run("local", "0" * 64)
        store.finish_run(run_id, synthetic_report(run_id, target="local"), "<html></html>")
        ids.append(run_id)
    return ids


def test_runs_and_reports(tmp_path: Path, run_ids: list[str]) -> None:
    listed = document(run("runs", "--json", folder=tmp_path))["runs"]
    assert {row["id"] for row in listed} == set(run_ids)
    assert {row["decision"] for row in listed} == {"unmeasured"}
    assert run_ids[0] in run("runs", folder=tmp_path).stdout

    done = run("report", run_ids[1], "--json", folder=tmp_path)
    assert done.stdout == (tmp_path / "runs" / run_ids[1] / "report.json").read_text()
    assert "UNMEASURED" in run("report", run_ids[1], folder=tmp_path).stdout
    page = run("report", run_ids[1], "--html", folder=tmp_path).stdout.strip()
    assert page == str(Path("runs", run_ids[1], "report.html"))
    assert (tmp_path / page).is_file()


def test_an_unknown_run(tmp_path: Path, run_ids: list[str]) -> None:
    done = run("report", "2019", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: run '2019' is unknown; recent: ")


def test_prune(tmp_path: Path, run_ids: list[str]) -> None:
    pruned = document(run("runs", "--prune", "--keep", "1", "--json", folder=tmp_path))
    assert pruned["runs"] == 2
    assert len(document(run("runs", "--json", folder=tmp_path))["runs"]) == 1
    assert "removed 0 runs" in run("runs", "--prune", "--keep", "1", folder=tmp_path).stdout


def test_init(tmp_path: Path) -> None:
    started = document(run("init", "new", "--json", folder=tmp_path))
    assert started == {
        "written": ["new/deploy.yaml", "new/task.py"],
        "next": "cd new && edgecompress deploy local",
    }
    again = run("init", "new", folder=tmp_path)
    assert again.returncode == 2
    assert "new/deploy.yaml: is there already" in again.stderr
    assert run("init", folder=tmp_path).stdout == (
        "wrote deploy.yaml\nwrote task.py\nnext: edgecompress deploy local\n"
    )


def test_deploy_with_a_task_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text(DEPLOY)
    done = run("deploy", "local", "--json", folder=tmp_path)
    error = document(done)["error"]
    assert (done.returncode, error["exit_code"]) == (2, 2)
    assert "task.py" in error["message"]
    assert error["message"] in done.stderr.splitlines()[-1]
