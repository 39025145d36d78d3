"""A task that is no classification: several inputs and outputs, less is better, 1-D."""

import json
import shutil
from pathlib import Path

import deploying
import numpy as np
import onnx
import onnxruntime
import pytest

STREAMS = Path(__file__).parent / "streams"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(STREAMS, tmp_path / "project"))
    for name in ("inventory.yaml", "targets"):
        source = deploying.TINY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def test_a_metric_of_which_less_is_better(project: Path, cli: deploying.Cli) -> None:
    report = deploying.deploy(project, cli)
    for side in ("baseline", "candidate"):
        found = report[side]
        assert found["accuracy"] is None
        metric = found["metric"]
        assert metric["name"] == "MeanAbsoluteError"
        assert metric["higher_is_better"] is False
        assert metric["samples"] == 210
        assert 0 < metric["value"] < 0.15
        # Two outputs: there is no top-1.
        assert found["parity"]["top1_agreement"] is None
    assert report["candidate"]["parity"]["max_output_steps"] <= 2
    assert report["candidate"]["int8_op_fraction"] == 1.0
    assert report["baseline"]["int8_op_fraction"] == 0.0
    assert any("mean absolute error" in reason for reason in report["verdict"]["reasons"])

    model = project / report["artifacts"][0]["path"]
    assert [x.name for x in onnx.load(model).graph.input] == ["wave", "limit"]
    session = onnxruntime.InferenceSession(model)
    fed = {"wave": np.zeros((3, 1, 64), np.float32), "limit": np.ones((3, 1), np.float32)}
    outputs = dict(
        zip([x.name for x in session.get_outputs()], session.run(None, fed), strict=True)
    )
    assert {name: array.shape for name, array in outputs.items()} == {
        "amplitude": (3, 1),
        "louder": (3, 1),
    }
    assert float(outputs["amplitude"].max()) < 0.3  # silence has no amplitude
    assert float(outputs["louder"].max()) < 0  # and is not louder than 1

    done = cli.run(project, "evaluate", report["artifacts"][0]["path"], "--json")
    again = json.loads(done.stdout)
    assert again["value"] == report["candidate"]["metric"]["value"]


def test_a_worse_metric_is_refused(project: Path, cli: deploying.Cli) -> None:
    text = (project / "deploy.yaml").read_text()
    (project / "deploy.yaml").write_text(
        text.replace("max_metric_drop: 0.05", "max_metric_drop: 0")
    )
    done = cli.run(project)
    report = json.loads(done.stdout)
    values = [report[side]["metric"]["value"] for side in ("baseline", "candidate")]
    (reason, *_) = [r for r in report["verdict"]["reasons"] if "mean absolute error" in r]
    # 210 samples show hardly ever that nothing at all was lost.
    likely = "fail: " if values[1] > values[0] else "pass: "
    assert reason.startswith((likely, "unmeasured: "))
    assert done.returncode == (done.returncode if reason.startswith("pass: ") else 3)
