"""Pruning by latency on this machine: real files of single layers, swept by the real agent. What
they took is then put aside for times that are known, because a net this small takes as long as
chance has it.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import deploying
import pytest
from torch import Tensor, nn

from edgecompress.compress.allocate_latency import Asked, Span
from edgecompress.compress.groups import merge
from edgecompress.compress.prunable import prunable, some
from edgecompress.compress.surgery import cut
from edgecompress.errors import SpecError
from edgecompress.measure import latency_table
from edgecompress.pipeline import latency_bench
from edgecompress.pipeline.job import Job, Point
from edgecompress.pipeline.latency import speeds_on
from edgecompress.pipeline.latency_bench import Bench, Ready
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
  latency_reduction: 1.25
  ignored_layers: [stem, body.1, down]
"""
"""Only the channels between the layers of `body` may go."""
SPANS = {"body.0.0": Span((0, 8), (0, 32)), "body.1": Span((8, 0), (32, 0))}
WEIGHTS_OF_A_CHANNEL = 2 * 16 * 9
"""Those of `body` that go with one of them."""


def known_ms(weights: int) -> float:
    """What a file takes here: a millisecond, and one more for every thousand weights."""
    return 1 + weights / 1000


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


def least(job: Job) -> nn.Module:
    """With 8 channels between the layers of `body`."""
    model, example = job.model, job.example_inputs
    body = [g for g in some(prunable(model, example, 8)) if "body.0.0" in g.producers]
    return cut(model, merge(body[0].units[8:]))


def point(job: Job) -> Point:
    return Point("original", job.fingerprint, lambda: job.model)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small table."""
    monkeypatch.setattr(latency_table, "POINTS_OF_ONE", 2)
    monkeypatch.setattr(latency_table, "EDGE_SIZES", 1)
    monkeypatch.setattr(latency_bench, "ROUNDS", 3)
    monkeypatch.setattr(latency_bench, "MOST_ROUNDS", 6)


@pytest.fixture
def known(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file takes `known_ms`, after the agent has really measured it."""
    make, sweep = Bench.ready, Bench._sweep
    ms: dict[Path, float] = {}

    def ready(
        bench: Bench, model: nn.Module, example: tuple[Tensor, ...], keep: tuple[str, ...] = ()
    ) -> Ready:
        made = make(bench, model, example, keep)
        ms[made.inputs] = known_ms(sum(weights.numel() for weights in model.parameters()))
        return made

    def swept(bench: Bench, files: Mapping[str, Ready]) -> dict[str, float]:
        taken = sweep(bench, files)
        assert taken.keys() == files.keys()
        assert all(0 < one_ms < inf for one_ms in taken.values())
        return {name: ms[made.inputs] for name, made in files.items()}

    monkeypatch.setattr(Bench, "ready", ready)
    monkeypatch.setattr(Bench, "_sweep", swept)


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_a_table_is_measured_once_and_pruned_by(tmp_path: Path) -> None:
    job = job_in(project(tmp_path / "project"))
    with speeds_on(job) as speeds:
        first = speeds(Asked(job.model, job.model, least(job), SPANS))
        first.choose(1.25, first.original_ms, first.original_ms)
    told = first.allocation
    assert told is not None
    # Two counts of either layer, and one pointwise layer, once and twice.
    assert (told.points, told.measured_now) == (6, 6)
    assert told.runtime.startswith("onnxruntime ")
    weights = sum(weights.numel() for weights in job.model.parameters())
    assert first.original_ms == pytest.approx(known_ms(weights))
    for channels in (8, 16, 24, 32):
        counts = {"body.0.0": (0, channels), "body.1": (channels, 0)}
        gone = (32 - channels) * WEIGHTS_OF_A_CHANNEL
        assert first.predicted_ms(counts) == pytest.approx(known_ms(weights - gone), rel=0.01)

    found = pruned(job, point(job), point(job))
    told = found.latency
    assert told is not None
    assert (told.points, told.measured_now) == (6, 0)
    # 24 channels would be 1.18 times as fast, 16 are 1.43 times.
    layer = found.model.get_submodule("body.0.0")
    assert isinstance(layer, nn.Conv2d)
    assert layer.out_channels == 16
    left = known_ms(sum(weights.numel() for weights in found.model.parameters()))
    assert told.measured_ms == pytest.approx(left)
    assert told.predicted_ms == pytest.approx(left, rel=0.01)
    assert "predicted" in told.line()
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
