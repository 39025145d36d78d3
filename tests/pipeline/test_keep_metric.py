"""`quantize.max_metric_drop`: what cannot be quantised stays in float, and nothing else."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import deploying
import pytest

from edgecompress.compress import rounding
from edgecompress.compress.mixed import Names
from edgecompress.compress.score import Limit
from edgecompress.pipeline import keeping, trials
from edgecompress.pipeline.float_sets import Aim
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.keeping import Means, keep_metric, reference_of
from edgecompress.pipeline.models import original, quantized
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.pipeline.trials import Trials
from edgecompress.progress import SilentProgress
from edgecompress.spec.load import load_deploy, load_target
from edgecompress.spec.native import native_cpu
from edgecompress.spec.recipe import resolve
from edgecompress.spec.report import FloatSearch
from edgecompress.store import Store
from edgecompress.task.load import fingerprint, load_task, original_model

PLANTED = Path(__file__).with_name("planted_task.py")
CONFIG = """\
task: {path: task.py:Planted}
seed: 0
quantize: {mode: ptq, ranges: minmax, calibration_batches: 2, max_metric_drop: 0.005}
budgets: {max_metric_drop: 0.01}
"""


QAT = """\
quantize:
  mode: qat
  ranges: minmax
  calibration_batches: 2
  max_metric_drop: 0.005
  train: {epochs: 1, optimizer: sgd, learning_rate: 0.00001}
"""


def project(folder: Path, config: str = CONFIG) -> Path:
    deploying.fresh(folder)
    shutil.copy(PLANTED, folder / "task.py")
    (folder / "deploy.yaml").write_text(config)
    return folder


def deploy(folder: Path, cli: deploying.Cli) -> dict[str, Any]:
    done = cli.run(folder)
    assert done.returncode in deploying.MEASURED, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_one_bad_operator_stays_in_float_and_the_metric_is_kept(
    tmp_path: Path, cli: deploying.Cli
) -> None:
    folder = project(tmp_path / "project")
    report = deploy(folder, cli)
    search = report["search"]
    assert search["int8_metric"] < 0.3 < 0.8 < search["float_metric"]
    assert [found["operators"] for found in search["sets"]] == [["rough"]]
    assert [found["chosen"] for found in search["sets"]] == [True]
    assert search["sets"][0]["file_metric"] == pytest.approx(search["sets"][0]["metric"], abs=0.005)
    assert "time operators" in {stage["name"] for stage in report["stages"]}
    assert report["candidate"]["metric"]["value"] >= report["baseline"]["metric"]["value"] - 0.005
    (kept,) = report["kept"]
    assert kept["name"] == "rough"
    assert "dB at the outputs; the metric is 0.1191 with all in int8" in kept["reason"]
    layers = {op["module"]: op for op in report["candidate"]["inspection"]["ops"] if op["macs"]}
    assert {name: op["dtype"] for name, op in layers.items()} == {
        "stem": "int8",
        "rough": "float32",
        "mix": "int8",
        "head": "int8",
    }
    assert layers["rough"]["reason"] == f"kept in float by the recipe: {kept['reason']}"
    assert "rough" not in {row["name"] for row in report["noise"]["operators"]}

    again = deploy(folder, cli)
    done = {stage["name"] for stage in again["stages"] if not stage["cached"]}
    assert done == {"measure"}
    assert again["search"] == search

    # Another limit searches again; what was quantised stays.
    (folder / "deploy.yaml").write_text(CONFIG.replace("drop: 0.005", "drop: 0.9"))
    lenient = deploy(folder, cli)
    assert lenient["search"]["sets"] == []
    assert lenient["kept"] == []
    cached = {stage["name"]: stage["cached"] for stage in lenient["stages"]}
    assert cached["quantize"]
    assert not cached["keep float"]
    assert "time operators" not in cached, "nothing is left in float"


def aim_here(folder: Path, tmp_path: Path, max_drop: float) -> Aim:
    config = load_deploy(folder / "deploy.yaml")
    recipe = resolve(load_target("tiny", folder), config)
    task = load_task(config.task, folder)
    model = original_model(task)
    store = Store(tmp_path / "runs")
    stages = Stages(store, store.start_run("tiny", recipe.digest()), SilentProgress(), 0)
    digest = fingerprint(task, config.task, folder, model)
    job = Job(recipe, native_cpu(), task, model, digest, stages, tmp_path)
    start = original(job, job.model)
    point = quantized(job, start, start)
    assert point is not None
    assert config.quantize is not None
    return Aim(job, config.quantize, point, start, max_drop)


@pytest.mark.parametrize("mode", ["ptq", "qat", "adaptive"])
def test_what_was_tried_is_not_tried_again_after_a_kill(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG
    if mode == "qat":
        config = config.replace(CONFIG.splitlines()[2] + "\n", QAT)
    if mode == "adaptive":
        monkeypatch.setattr(rounding, "_ITERATIONS", 60)
        config = config.replace("mode: ptq", "mode: ptq, rounding: adaptive, correct_biases: true")
    folder = project(tmp_path / "project", config)
    aim = aim_here(folder, tmp_path, max_drop=0.02)
    first = Trials(aim, reference_of(aim), tmp_path)

    def seen(tried: Trials) -> list[object]:
        sets: list[Names] = [(), ("rough",), ("rough", "mix")]
        return [tried.limit.reference.metric, *map(tried.metric, sets), *map(tried.simulated, sets)]

    found = seen(first)
    # Training with the bad operator in int8 leaves weights that float does not mend.
    kept = mode != "qat"
    assert [metric is not None for metric in found[1:4]] == [False, kept, kept]
    assert found[4:] == [False, kept, kept]

    def refuse(*_: object) -> float:
        raise AssertionError("it was tried before")

    monkeypatch.setattr(Limit, "kept_metric", refuse)
    monkeypatch.setattr(trials, "reference", refuse)
    again = Trials(aim, reference_of(aim), tmp_path)
    assert seen(again) == found
    assert again.state(("rough",)).is_file() == kept


def test_what_fine_tuning_spoils_is_chosen_before_it_and_fine_tuned_again(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", CONFIG.replace(CONFIG.splitlines()[2] + "\n", QAT))
    aim = aim_here(folder, tmp_path, max_drop=0.005)
    means = Means(agent_on(HERE, aim.job.agent_dir), None)
    point, search = keep_metric(aim.job, aim.point, aim.before, aim.before, means)
    assert search is not None
    assert search.int8_metric < 0.3 < 0.8 < search.float_metric
    assert [found.operators for found in search.sets] == [("rough",)]
    assert search.metric_again == point.trained.metric
    assert point.trained.metric >= search.float_metric - 0.005
    assert [row.stage for row in point.trained.epochs] == ["qat"]
    assert point.trained.keep_float == ("rough",)
    assert "the metric is" in point.trained.kept_because["rough"]
    stages = [stage.name for stage in aim.job.stages.done]
    assert stages == [
        *("quantize", "validate float", "keep float"),
        *("quantize", "validate float", "keep float", "export quantised", "validate file"),
        "quantize",
    ]


def test_what_is_good_enough_in_int8_is_not_fine_tuned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project", CONFIG.replace(CONFIG.splitlines()[2] + "\n", QAT))
    config = load_deploy(folder / "deploy.yaml")
    job: Any = SimpleNamespace(recipe=SimpleNamespace(config=config))
    enough = FloatSearch(
        max_metric_drop=0.005, float_metric=0.9, int8_metric=0.9, keeps_in_int8=True, sets=()
    )
    monkeypatch.setattr(keeping, "_kept", lambda *_: ("fine-tuned", enough))
    anything: Any = None
    found = keep_metric(job, anything, anything, anything, anything)
    assert found == ("fine-tuned", enough)
