"""Which run is what shipped before."""

from pathlib import Path

import onnx_files
import pytest
from reports import synthetic_report

from edgecompress.artifact import sha256_of
from edgecompress.pipeline.history import last_shipped
from edgecompress.spec.base import parse
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_targets
from edgecompress.spec.recipe import resolve_all
from edgecompress.spec.report import ReportArtifact
from edgecompress.store import Store

DEVICE = Device(id="synthetic", target="local", transport="local")
CONFIG = parse(
    DeployConfig,
    {
        "task": {"path": "task.py:Mine"},
        "seed": 0,
        "quantize": {"mode": "ptq", "ranges": "minmax", "calibration_batches": 1},
        "budgets": {"max_metric_drop": 0.01},
    },
    "here",
)
RECIPES = resolve_all(load_targets("local"), CONFIG)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def run(store: Store, decision: str = "ship", **changed: object) -> str:
    """A finished run with a model file of its own."""
    run_id = store.start_run("local", "0" * 64)
    file = store.run_dir(run_id) / "model.onnx"
    onnx_files.linear(file, features=8, classes=4)
    kept = ReportArtifact(path=str(file), format="onnx", sha256=sha256_of(file))
    report = synthetic_report(run_id, target="local-onnxruntime")
    verdict = report.verdict.model_copy(update={"decision": decision})
    update = {"verdict": verdict, "task": "task.py:Mine", "device": "synthetic"}
    report = report.model_copy(update={**update, "artifacts": (kept,), **changed})
    store.finish_run(run_id, report, "<html></html>")
    return run_id


def found(store: Store) -> str | None:
    before = last_shipped(store, RECIPES, DEVICE)
    return None if before is None else before.report.run


def test_it_is_the_newest_that_shipped_of_this_task_and_device(store: Store) -> None:
    assert found(store) is None
    run(store)
    newest = run(store)
    run(store, "refuse")
    run(store, task="task.py:Another")
    run(store, device="another")
    run(store, target="jetson-orin-nano")
    assert found(store) == newest
    before = last_shipped(store, RECIPES, DEVICE)
    assert before is not None
    assert before.file is not None
    assert (before.file.kind, before.file.target.name) == ("last shipped", "local-onnxruntime")
    assert before.file.file.path == store.run_dir(newest) / "model.onnx"


def test_a_file_that_was_changed_is_not_measured(store: Store) -> None:
    (store.run_dir(run(store)) / "model.onnx").write_bytes(b"changed")
    before = last_shipped(store, RECIPES, DEVICE)
    assert before is not None
    assert before.file is None


def test_nothing_is_compared_without_a_device_that_has_a_speed(store: Store) -> None:
    run(store)
    assert last_shipped(store, RECIPES, None) is None
    emulated = DEVICE.model_copy(update={"emulated": True})
    assert last_shipped(store, RECIPES, emulated) is None
