"""`quantize.max_metric_drop`: what cannot be quantised stays in float, and nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import deploying

PLANTED = Path(__file__).with_name("planted_task.py")
CONFIG = """\
task: {path: task.py:Planted}
seed: 0
quantize: {mode: ptq, ranges: minmax, calibration_batches: 2, max_metric_drop: 0.005}
budgets: {max_metric_drop: 0.01}
"""


def project(folder: Path, config: str = CONFIG) -> Path:
    deploying.fresh(folder)
    shutil.copy(PLANTED, folder / "task.py")
    (folder / "deploy.yaml").write_text(config)
    return folder


def deploy(folder: Path, cli: deploying.Cli) -> dict[str, Any]:
    done = cli.run(folder)
    assert done.returncode in (0, 3), done.stderr
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
