"""A deploy keeps a concatenation in float that would lose a member, and says so."""

import json
import shutil
from pathlib import Path

import deploying

HERE = Path(__file__).parent
CONFIG = """\
task: {path: task.py:Detecting}
seed: 0
quantize: {mode: ptq, ranges: minmax, calibration_batches: 2}
budgets: {max_metric_drop: 0.01}
"""


def test_scores_beside_boxes_are_kept(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.unmeasured(tmp_path / "project")
    shutil.copy(HERE / "planted_task.py", folder / "planted_task.py")
    shutil.copy(HERE / "detecting_task.py", folder / "task.py")
    (folder / "deploy.yaml").write_text(CONFIG)
    done = cli.run(folder)
    assert done.returncode in deploying.MEASURED, done.stderr
    report = json.loads(done.stdout)
    (kept,) = report["kept"]
    assert kept["name"] == ":cat"
    assert kept["reason"].startswith("one scale for all that ':cat' joins leaves ")
    metrics = [report[which]["metric"]["value"] for which in ("baseline", "candidate")]
    assert metrics[0] > 0.8
    assert metrics[1] > metrics[0] - 0.01
    ops = report["candidate"]["inspection"]["ops"]
    assert all(op["dtype"] == "int8" for op in ops if op["macs"])
    (join,) = (op for op in ops if op["op_type"] == "Concat")
    assert join["reason"] == f"kept in float by the recipe: {kept['reason']}"
