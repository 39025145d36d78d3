"""`deploy TARGET TARGET`: what the targets have in common is done once."""

import json
from pathlib import Path

import deploying
import pytest

BOTH = ("deploy", "tiny", "raspberry-pi-5-onnxruntime", "--inventory", "inventory.yaml", "--json")


@pytest.mark.slow
def test_one_training_where_the_scheme_is_portable(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    config = folder / "deploy.yaml"
    text = config.read_text().replace("mode: qat", "mode: qat\n  scheme: portable")
    config.write_text(text.replace("ranges: minmax", "ranges: auto"))
    done = cli.run(folder, *BOTH)
    # The worst of a verdict on this machine and one that could not be measured.
    assert done.returncode in (3, 5), done.stderr
    here, board = json.loads(done.stdout)["reports"]
    assert deploying.epochs(folder) == 6
    trained = {name: deploying.cached(board)[name] for name in ("train", "prune", "quantize")}
    assert trained == {"train": True, "prune": True, "quantize": True}
    assert board["verdict"]["decision"] == "unmeasured"
    for report in (here, board):
        assert any("dB at the outputs on held-out" in note for note in report["notes"])
    assert here["candidate"]["int8_op_fraction"] == 1.0
    # The same integers, shifted where the kernels take uint8.
    assert here["candidate"]["accuracy"] == pytest.approx(board["candidate"]["accuracy"], abs=0.01)
    assert [hop["kind"] for hop in here["candidate"]["hops"]] == [
        "converted",
        "exported",
        "kernels",
    ]
    assert all(hop["parity"]["top1_agreement"] > 0.98 for hop in here["candidate"]["hops"])


def test_targets_are_named_or_all(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    for arguments in (("deploy",), ("deploy", "tiny", "--all")):
        done = cli.run(folder, *arguments)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].endswith(
            "deploy: name at least one target, or give --all, not both"
        )


@pytest.mark.slow
def test_three_formats_from_one_training(tmp_path: Path, cli: deploying.Cli) -> None:
    pytest.importorskip("litert_torch", reason="needs litert-torch: pip install '.[litert]'")
    folder = deploying.fresh(tmp_path / "project")
    config = folder / "deploy.yaml"
    text = config.read_text().replace("mode: qat", "mode: qat\n  scheme: portable")
    # The Jetson steps by 32 channels, and the tiny model has no more.
    config.write_text(text[: text.index("prune:")] + text[text.index("quantize:") :])
    targets = ("raspberry-pi-5-onnxruntime", "android-xnnpack", "jetson-orin-nano")
    done = cli.run(folder, "deploy", *targets, "--inventory", "inventory.yaml", "--json")
    assert done.returncode in (3, 5), done.stderr
    reports = json.loads(done.stdout)["reports"]
    assert [report["artifacts"][0]["format"] for report in reports] == ["onnx", "tflite", "onnx"]
    assert deploying.epochs(folder) == 4
    accuracies = [report["candidate"]["accuracy"] for report in reports]
    assert max(accuracies) - min(accuracies) <= 0.02
    for report in reports:
        path = folder / report["artifacts"][0]["path"]
        assert path.suffix == (".tflite" if report["target"] == "android-xnnpack" else ".onnx")
        assert report["speedup"] is None
        # None of them runs on this machine as it does on its board, so reference kernels stand in.
        assert [hop["kind"] for hop in report["candidate"]["hops"]] == ["converted", "exported"]
        # What is built on the device has no size here.
        sized = any(" bytes, the baseline" in reason for reason in report["verdict"]["reasons"])
        assert sized == (report["target"] != "jetson-orin-nano")
    onnx, tflite = (str(folder / report["artifacts"][0]["path"]) for report in reports[:2])
    compared = cli.run(folder, "compare", onnx, tflite, "--layers", "-c", "deploy.yaml", "--json")
    assert compared.returncode == 0, compared.stderr
    layers = json.loads(compared.stdout)["layers"]
    assert len(layers) >= 4
    assert max(layer["max_steps"] for layer in layers) <= 3


def test_an_engine_cannot_be_built_without_tensorrt(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    config = folder / "deploy.yaml"
    text = config.read_text()
    start, end = text.index("prune:"), text.index("budgets:")
    ptq = "quantize:\n  mode: ptq\n  ranges: minmax\n  calibration_batches: 2\n\n"
    config.write_text(text[:start] + ptq + text[end:])
    inventory = folder / "inventory.yaml"
    inventory.write_text(inventory.read_text().replace("target: tiny", "target: jetson-orin-nano"))
    done = cli.run(folder, "deploy", "jetson-orin-nano", "--inventory", "inventory.yaml")
    assert done.returncode == 4
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert "trtexec" in error
    # All up to the file is there, and kept.
    assert "export quantised" in done.stderr


FAILURES = {
    "raspberry-pi-5-onnxruntime": ("ModelError('conv: no counterpart')", 2),
    "raspberry-pi-4-onnxruntime": ("AgentError('died of SIGABRT')", 4),
    "cm5": ("ZeroDivisionError('by zero')", 1),
}
"""How the export for a target fails: the error, and its exit code."""


def breaks(folder: Path, failures: dict[str, tuple[str, int]]) -> None:
    """From now on the tiny task's model cannot be exported for these targets."""
    task, targets = folder / "task.py", folder / "targets"
    rows = "".join(f"    {name!r}: lambda: {error},\n" for name, (error, _) in failures.items())
    task.write_text(
        "from edgecompress.errors import *\n"
        "from edgecompress.runtimes.onnxruntime import OnnxRuntime\n"
        f"FAILURES = {{\n{rows}}}\n"
        "whole = OnnxRuntime.export\n"
        "def export(self, model, path):\n"
        "    if model.target.name in FAILURES:\n"
        "        raise FAILURES[model.target.name]()\n"
        "    return whole(self, model, path)\n"
        "OnnxRuntime.export = export\n" + task.read_text()
    )
    mine = (targets / "tiny.yaml").read_text()
    for name in failures:
        (targets / f"{name}.yaml").write_text(mine.replace("name: tiny", f"name: {name}"))


def test_one_target_that_fails_stops_no_other(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    (folder / "deploy.yaml").write_text(deploying.SHORT)
    failures = {f"my-{name}": failure for name, failure in FAILURES.items()}
    breaks(folder, failures)
    arguments = ("--inventory", "inventory.yaml")
    first, second, _ = failures
    alone = cli.run(folder, "deploy", second, *arguments, "--json")
    assert alone.returncode == 4, alone.stderr
    assert json.loads(alone.stdout)["error"]["message"] == "died of SIGABRT"
    done = cli.run(folder, "deploy", second, first, *arguments)
    assert done.returncode == 2, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if "failed" in line]
    assert [row[:2] for row in rows] == [[second, "failed"], [first, "failed"]]
    assert "no counterpart" in " ".join(done.stdout.split())

    done = cli.run(folder, "deploy", *failures, "tiny", *arguments, "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert [report["target"] for report in document["reports"]] == ["tiny"]
    found = {row["target"]: row["error"] for row in document["failed"]}
    assert {name: error["exit_code"] for name, error in found.items()} == {
        name: code for name, (_, code) in failures.items()
    }
    assert [error["kind"] for error in found.values()] == ["ModelError", "AgentError", "Defect"]
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {name}: {error['message']}" for name, error in found.items()]


def test_control_c_ends_all_targets(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = deploying.fresh(tmp_path / "project")
    (folder / "deploy.yaml").write_text(deploying.SHORT)
    breaks(folder, {"my-board": ("KeyboardInterrupt()", 130)})
    done = cli.run(folder, "deploy", "my-board", "tiny", "--inventory", "inventory.yaml", "--json")
    assert done.returncode == 130, done.stderr
    assert json.loads(done.stdout)["error"]["kind"] == "Interrupted"
