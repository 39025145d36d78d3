"""Training with a penalty on whole channels, before the channels to be removed are chosen."""

from pathlib import Path

import deploying
import pytest
import torch

from edgecompress.compress.prune import group_sparsity
from edgecompress.errors import SpecError
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.models import original, sparsified
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import SparsifySpec
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.native import native_cpu
from edgecompress.spec.recipe import resolve
from edgecompress.store import Store
from edgecompress.task.load import fingerprint, load_task, original_model

SPARSIFY = "{epochs: 2, optimizer: sgd, learning_rate: 0.02, group_sparsity: %s}"


def write(folder: Path, sparsify: str) -> None:
    text = (folder / "deploy.yaml").read_text()
    text = text.replace("  steps: 1\n", f"  steps: 1\n  sparsify: {sparsify}\n")
    (folder / "deploy.yaml").write_text(text)


def job_in(folder: Path, tmp_path: Path) -> Job:
    config = load_deploy(folder / "deploy.yaml")
    recipe = resolve(load_target("tiny", folder), config)
    task = load_task(config.task, folder)
    model = original_model(task)
    store = Store(tmp_path / "runs")
    stages = Stages(store, store.start_run("tiny", recipe.digest()), SilentProgress(), 0)
    digest = fingerprint(task, config.task, folder, model)
    return Job(recipe, native_cpu(), task, model, digest, stages, tmp_path)


def test_group_norms_shrink(tmp_path: Path) -> None:
    penalties, metrics = [], []
    for strength in ("0.000001", "0.05"):
        folder = deploying.fresh(tmp_path / strength)
        write(folder, SPARSIFY % strength)
        job = job_in(folder, tmp_path)
        start = original(job, job.model)
        point = sparsified(job, start)
        assert point.name == "sparsified"
        assert [(row.stage, row.epoch) for row in point.epochs] == [
            ("sparsify", 1),
            ("sparsify", 2),
        ]
        with torch.no_grad():
            sparsity = group_sparsity(point.model, job.example_inputs, job.recipe.target.round_to)
            penalties.append(float(sparsity.penalty()))
        metrics.append(point.metric)
    assert penalties[1] < 0.9 * penalties[0]
    assert metrics[1] > 0.9


def test_without_it_there_is_no_such_stage(tmp_path: Path) -> None:
    job = job_in(deploying.fresh(tmp_path / "project"), tmp_path)
    start = original(job, job.model)
    assert sparsified(job, start) is start


def test_a_whole_deploy(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.unmeasured(tmp_path / "project")
    write(folder, SPARSIFY % "0.001")
    report = deploying.deploy(folder, cli)
    names = [stage["name"] for stage in report["stages"]]
    assert names.index("train") < names.index("sparsify") < names.index("prune")
    assert [row["epoch"] for row in report["epochs"] if row["stage"] == "sparsify"] == [1, 2]
    assert report["candidate"]["accuracy"] > 0.8
    assert report["candidate"]["macs"] < report["baseline"]["macs"]


def test_early_stop_is_refused(tmp_path: Path) -> None:
    folder = deploying.fresh(tmp_path / "project")
    write(folder, (SPARSIFY % "0.001").replace("}", ", early_stop_epochs: 1}"))
    with pytest.raises(SpecError, match="sparsify keeps its last epoch; remove early_stop_epochs"):
        load_deploy(folder / "deploy.yaml")


def test_a_strength_is_needed() -> None:
    with pytest.raises(ValueError, match="group_sparsity"):
        SparsifySpec(epochs=1, optimizer="sgd", learning_rate=0.1)
