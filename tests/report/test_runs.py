"""What `runs` shows of the speedups in the reports that it has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import make_report

from edgecompress.store import Store


@pytest.mark.parametrize("emulated", [True, False])
def test_a_speedup_of_an_emulated_device_is_marked(tmp_path: Path, emulated: bool) -> None:
    store = Store(tmp_path / "runs")
    run = store.start_run("local", "0" * 64)
    report = make_report(emulated=emulated).model_copy(update={"run": run})
    store.finish_run(run, report, "")
    (row,) = json.loads(_runs(tmp_path, "--json"))["runs"]
    assert (row["speedup"], row["emulated"]) == (report.speedup, emulated)
    # A cell that is too long goes on in the next line.
    shown = " ".join(_runs(tmp_path).split())
    assert "2.68x" in shown
    assert ("(emulated)" in shown) == emulated


def _runs(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "edgecompress", "runs", *options]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
