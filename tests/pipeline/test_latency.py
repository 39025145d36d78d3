"""Pruning by latency on this machine: real files of single layers, by the real agent."""

from dataclasses import replace
from pathlib import Path

import deploying
import pytest
from torch import nn

from edgecompress.compress.allocate_latency import Span
from edgecompress.errors import SpecError
from edgecompress.measure import latency_table
from edgecompress.pipeline import latency_bench
from edgecompress.pipeline.job import Job, Point
from edgecompress.pipeline.latency import speeds_on
from edgecompress.pipeline.models import pruned
from edgecompress.pipeline.orders import Measured, deploy_order
from edgecompress.pipeline.single import HERE
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import SilentProgress
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.native import native_cpu
from edgecompress.spec.recipe import resolve
from edgecompress.store import Store
from edgecompress.task.load import fingerprint, load_task, original_model

BY_LATENCY = """\
  allocation: latency
  latency_reduction: 1.01
  ignored_layers: [stem, body.1, down]
"""
"""Only the channels between the layers of `body` may go."""
SPANS = {"body.0.0": Span((0, 8), (0, 32)), "body.1": Span((8, 0), (32, 0))}


def project(folder: Path) -> Path:
    deploying.fresh(folder)
    text = (folder / "deploy.yaml").read_text()
    text = text.replace("  allocation: uniform\n  pruning_ratio: 0.5\n", BY_LATENCY)
    (folder / "deploy.yaml").write_text(text)
    return folder


def job_in(folder: Path) -> Job:
    config = load_deploy(folder / "deploy.yaml")
    recipe = resolve(load_target("tiny", folder), config)
    task = load_task(config.task, folder)
    model = original_model(task)
    store = Store(folder / "runs")
    stages = Stages(store, store.start_run("tiny", recipe.digest()), SilentProgress(), 0)
    digest = fingerprint(task, config.task, folder, model)
    work = store.work_dir("agent")
    return Job(recipe, native_cpu(), task, model, digest, stages, work, HERE)


def point(job: Job) -> Point:
    return Point("original", job.fingerprint, lambda: job.model)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small table: what it holds is looked at, and not how right it is."""
    monkeypatch.setattr(latency_table, "POINTS_OF_ONE", 2)
    monkeypatch.setattr(latency_table, "EDGE_SIZES", 1)
    monkeypatch.setattr(latency_bench, "ROUNDS", 3)
    monkeypatch.setattr(latency_bench, "MOST_ROUNDS", 6)


@pytest.mark.usefixtures("few")
def test_a_table_is_measured_once_and_reused(tmp_path: Path) -> None:
    job = job_in(project(tmp_path / "project"))
    with speeds_on(job) as speeds:
        first = speeds(job.model, job.model, SPANS)
        first.choose(1.5, first.original_ms, first.original_ms)
    told = first.allocation
    assert told is not None
    # Two counts of either layer, and one pointwise layer, once and twice.
    assert (told.points, told.measured_now) == (6, 6)
    assert told.runtime.startswith("onnxruntime ")
    whole = {name: span.most for name, span in SPANS.items()}
    less = {name: span.least for name, span in SPANS.items()}
    assert first.predicted_ms(whole) == pytest.approx(first.original_ms, rel=0.9)
    assert first.predicted_ms(less) != first.predicted_ms(whole)
    with speeds_on(job) as speeds:
        again = speeds(job.model, job.model, SPANS)
        again.choose(1.5, again.original_ms, again.original_ms)
    assert again.allocation is not None
    assert (again.allocation.points, again.allocation.measured_now) == (6, 0)


@pytest.mark.usefixtures("few")
def test_a_pruned_model_says_what_was_predicted(tmp_path: Path) -> None:
    job = job_in(project(tmp_path / "project"))
    found = pruned(job, point(job), point(job))
    told = found.latency
    assert told is not None
    assert "predicted" in told.line()
    layer = found.model.get_submodule("body.0.0")
    assert isinstance(layer, nn.Conv2d)
    assert layer.out_channels in (8, 16, 24)
    again = pruned(job, point(job), point(job))
    assert again.latency == told, "a stage that is done is not measured again"


def test_without_a_device_nothing_begins(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    (folder / "none.yaml").write_text("devices: []\n")
    with pytest.raises(SpecError, match="and none is in the inventory: add one"):
        deploy_order(folder / "deploy.yaml", ["tiny"], Measured(folder / "none.yaml"))
    job = replace(job_in(folder), device=None)
    with pytest.raises(SpecError, match="allocation: sensitivity with macs_reduction"):
        pruned(job, point(job), point(job))
    emulated = replace(job, device=HERE.model_copy(update={"emulated": True}))
    with pytest.raises(SpecError, match="'this-machine' is emulated"):
        pruned(emulated, point(job), point(job))
