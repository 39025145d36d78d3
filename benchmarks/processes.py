"""Two processes under `accelerate launch` against one: same global batch, same recipe.

    python benchmarks/processes.py PROJECT [--seeds 3] [--stop-after 40]

For each seed the deploy.yaml of PROJECT runs in one process, in two, and in two that are killed
after some seconds and started again. What is compared is the metric of the torch model after the
last stage that trains, and the time that the training stages took. PROJECT is not changed.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TRAINING = ("train", "sparsify", "prune", "finetune", "quantize")
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--target", default="local-onnxruntime")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stop-after", type=float, default=40.0, help="seconds until the kill")
    wanted = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {"one": [], "two": [], "two, killed": []}
    for seed in range(wanted.seeds):
        for way, found in rows.items():
            with tempfile.TemporaryDirectory() as scratch:
                folder = copied(wanted.project, Path(scratch) / "project", seed)
                report = deployed(folder, way, wanted.target, wanted.stop_after)
            found.append((last_metric(report), seconds(report)))
            print(
                f"seed {seed}, {way}: metric {found[-1][0]:.4f}, {found[-1][1]:.0f} s", flush=True
            )
    for way, found in rows.items():
        metrics = [metric for metric, _ in found]
        spread = statistics.stdev(metrics) if len(metrics) > 1 else 0.0
        took = statistics.mean(time for _, time in found)
        print(f"{way:12} {statistics.mean(metrics):.4f} +- {spread:.4f}, {took:.0f} s of training")


def copied(project: Path, folder: Path, seed: int) -> Path:
    """The project without results, with another seed."""
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    text = (folder / "deploy.yaml").read_text()
    (folder / "deploy.yaml").write_text(re.sub(r"(?m)^seed:.*$", f"seed: {seed}", text))
    return folder


def deployed(folder: Path, way: str, target: str, stop_after_s: float) -> dict[str, Any]:
    """The report of a deploy that came to its end."""
    command = ["edgecompress", "deploy", target, "--json"]
    started = [sys.executable, "-m"] if way == "one" else LAUNCH
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for stops in (True, False) if "killed" in way else (False,):
        running = subprocess.Popen(
            [*started, *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            told, _ = running.communicate(timeout=stop_after_s if stops else None)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            continue
        break
    report: dict[str, Any] = json.loads(told)
    if "error" in report:
        raise SystemExit(f"{way}: {report['error']['message']}")
    return report


def last_metric(report: dict[str, Any]) -> float:
    """Best epoch of the last training, on the validation data."""
    last = report["epochs"][-1]["stage"]
    return max(float(row["metric"]) for row in report["epochs"] if row["stage"] == last)


def seconds(report: dict[str, Any]) -> float:
    return float(sum(s["seconds"] for s in report["stages"] if s["name"] in TRAINING))


if __name__ == "__main__":
    main()
