"""The whole of it: from a task to a Raspberry Pi that is emulated, over a real SSH connection."""

import json
from pathlib import Path

import deploying
import pytest
from virtual_boards import built_board

BOARD = "raspberry-pi-5"
HALF_A_POINT = 0.005


@pytest.mark.slow
def test_deploy_to_a_virtual_board(
    tmp_path: Path, cli: deploying.Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    device = built_board(BOARD, tmp_path_factory, "kitchen-pi")
    folder = deploying.fresh(tmp_path / "project")
    (folder / "deploy.yaml").write_text(deploying.SHORT)
    row = device.model_dump(mode="json", exclude_defaults=True)
    # JSON is YAML.
    (folder / "devices.yaml").write_text(json.dumps({"devices": [row]}))

    done = cli.run(folder, "deploy", BOARD, "--device", device.id, "--json")
    # Emulated latencies decide nothing.
    assert done.returncode == 5, done.stderr
    report = json.loads(done.stdout)
    assert (report["verdict"]["decision"], report["device"]) == ("unmeasured", device.id)
    pushed = report["pushed"]
    assert (pushed["outcome"], pushed["reasons"]) == ("success", [])
    found = pushed["validation"]
    assert found["emulated"]
    assert found["parity"]["samples"] == 256
    # Another architecture's kernels, and the same integers (docs/quantization.md).
    assert found["parity"]["max_output_steps"] < 0.5
    assert abs(found["value"] - found["value_here"]) <= HALF_A_POINT
    assert abs(found["value"] - report["candidate"]["accuracy"]) <= HALF_A_POINT
    inspection = report["candidate"]["inspection"]
    assert report["candidate"]["int8_op_fraction"] == 1.0
    assert inspection["machine"] == "aarch64"

    done = cli.run(folder, "status", device.id, "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert state["current"] == pushed["active"] == pushed["release"]
    (release,) = state["releases"]
    (model,) = [kept for kept in report["artifacts"] if Path(kept["path"]).stem == "model"]
    assert release["whole"]
    assert release["manifest"]["sha256"] == model["sha256"]
    assert release["manifest"]["target"] == f"{BOARD}-onnxruntime"
