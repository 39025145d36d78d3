"""Files spoiled on purpose are refused, each of them, and the healthy ones are not.

The real way of a deploy, from training to the verdict; only the agent works in this process,
because a hundred processes would take minutes.
"""

import importlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import deploying
import pytest
import torch
from spoiling import SPOILS, spoil_onnx, spoil_tflite
from torch import Tensor, nn

from edgecompress.errors import AgentError
from edgecompress.measure.agent import Agent
from edgecompress.pipeline import files
from edgecompress.pipeline.executable import Executable, FloatModel, Int8Model
from edgecompress.pipeline.files import Built, build
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.models import original, quantized
from edgecompress.pipeline.reporting import model_report
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import SilentProgress
from edgecompress.report.verdict import Judgement, judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.native import native_cpu
from edgecompress.spec.recipe import resolve
from edgecompress.store import Store
from edgecompress.task.load import load_task
from edgecompress.transport import Completed, LocalTransport

SAMPLES = 64
BUDGETS = Budgets(max_metric_drop=0.2)


class InProcess(LocalTransport):
    """Runs the agent's own code here."""

    def run(self, argv: Any, stdin: bytes = b"", **_: Any) -> Completed:
        if argv[1] not in sys.path:
            sys.path.insert(0, argv[1])
        main = importlib.import_module("edgecompress_agent.__main__")
        answer = {"schema_version": 1, **main._answer(stdin, answer_fd=1)}
        return Completed(0, json.dumps(answer).encode(), b"")


class Mixer(nn.Module):
    """Rows as a sequence: what int8 kernels do not compute exactly is in it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, 32)
        self.activation = nn.Hardswish()
        self.second = nn.Linear(32, 32)
        self.mix = nn.Conv1d(8, 16, 3, padding=1)
        self.head = nn.Linear(16 * 32, classes)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.activation(self.first(images.squeeze(1)))
        mixed = self.mix(torch.relu(rows + self.second(rows)))
        return self.head(torch.relu(mixed).flatten(1))


@dataclass
class Case:
    """A trained network, its healthy file, and all that a verdict needs."""

    job: Job
    agent: Agent
    model: Executable
    baseline: Built
    candidate: Built

    def verdict(self, candidate: Built) -> Judgement:
        reports = (model_report(one, None) for one in (self.baseline, candidate))
        return judge(BUDGETS, *reports, None)

    def spoiled(self, name: str, folder: Path) -> Judgement:
        source = self.candidate.artifact
        path = folder / f"spoiled{'.onnx' if source.format == 'onnx' else '.tflite'}"
        (spoil_onnx if source.format == "onnx" else spoil_tflite)(source.path, path, name)
        artifact = describe_file(path)
        evaluation, _ = files._evaluate(self.job, self.model, name, artifact, self.agent)
        return self.verdict(replace(self.candidate, artifact=artifact, evaluation=evaluation))


def made(folder: Path, target: str, network: type[nn.Module] | None) -> Case:
    project = deploying.fresh(folder / "project")
    (project / "deploy.yaml").write_text(deploying.SHORT)
    config = load_deploy(project / "deploy.yaml")
    task: Any = load_task(config.task, project)
    images, labels = task.eval_set
    few = [(images[:SAMPLES], labels[:SAMPLES])]
    task.eval_data = lambda: few
    torch.manual_seed(0)
    model = task.model() if network is None else network(task.classes)
    recipe = resolve(load_target(target, project), config)
    store = Store(folder / "runs")
    stages = Stages(store, store.start_run(target, recipe.digest()), SilentProgress(), 0)
    job = Job(recipe, native_cpu(), task, model, "spoiled", stages, folder)
    agent = Agent(InProcess(folder / "agent"), sys.executable)
    start = original(job, job.model)
    point = quantized(job, start, start)
    assert point is not None
    executable = Int8Model(job, point, start)
    baseline = build(job, FloatModel(job, start), agent)
    return Case(job, agent, executable, baseline, build(job, executable, agent))


CASES = {"onnx": ("tiny", None), "onnx, inexact": ("tiny", Mixer), "tflite": ("local-litert", None)}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    if request.param == "tflite":
        pytest.importorskip("litert_torch", reason="needs litert-torch: pip install '.[litert]'")
    target, network = CASES[request.param]
    return made(tmp_path_factory.mktemp("spoiled"), target, network)


def test_the_healthy_file_is_not_refused(case: Case) -> None:
    result = case.verdict(case.candidate)
    assert not [reason for reason in result.reasons if reason.startswith("fail: ")]
    assert case.candidate.evaluation.value > 0.9
    readback = case.candidate.evaluation.readback
    assert readback is not None
    assert readback.compared >= 4
    assert not readback.differences


def test_every_spoiled_file_is_refused(case: Case, tmp_path: Path) -> None:
    shipped = []
    for name in SPOILS:
        try:
            refused = case.spoiled(name, tmp_path).decision == "refuse"
        except AgentError as error:
            # The runtime itself does not take it.
            refused = "failed to" in str(error)
        if not refused:
            shipped.append(name)
    assert shipped == []


def test_large_damage_is_seen_in_the_outputs_too(case: Case, tmp_path: Path) -> None:
    """So that what no constant shows (a kernel, a runtime) is refused as well."""
    for name in ("weight scales of a layer x 0.5", "kernels turned round"):
        reasons = case.spoiled(name, tmp_path).reasons
        assert any(reason.startswith("fail: the shipped file does not ") for reason in reasons), (
            name
        )
