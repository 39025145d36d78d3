"""`edgecompress deploy` of the task in pipeline/tiny/, as a user runs it: a process in a folder."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

TINY = Path(__file__).parent / "pipeline" / "tiny"
DEPLOY = ("deploy", "tiny", "--inventory", "inventory.yaml", "--json")
LOG = "asked.log"
"""Where the tiny task writes a line, with the seed, whenever it is asked for training data."""
NO_EPOCH = 1_000_000
"""Seeds from here on are those of a look at the data, not of an epoch."""

SHORT = """\
task: {path: task.py:Tiny}
seed: 0
train: {epochs: 2, optimizer: adamw, learning_rate: 0.01}
quantize: {mode: ptq, ranges: minmax, calibration_batches: 2}
budgets: {max_metric_drop: 0.5}
"""
"""Another deploy.yaml for it: the shortest way to an int8 model that is nearly always right."""

UNTRAINED = "".join(line for line in SHORT.splitlines(True) if not line.startswith("train:"))
"""The same of the model as it begins, which nobody could ship."""

MEASURED = (0, 3, 5)
"""How a deploy that went well may end, whatever the clock says: on a busy machine a model this
small may not be shown to be faster, or no measurement is valid.
"""

BRIEF = {
    "name: local-onnxruntime": "name: local",
    "min_iterations: 200": "min_iterations: 5",
    "min_duration_s: 0.3": "min_duration_s: 0.01",
    "turns: 5": "turns: 1\n  max_warmup_s: 0",
}
"""What makes this machine's target one of as few samples as can be."""

Files = tuple[Path, Path]
"""Standard output and error."""

_CLOCK = (
    "latency_ms_p50",
    "latency_ms_p90",
    "latency_ms_p99",
    "first_inference_ms",
    "init_time_ms",
    "peak_rss_bytes",
    "profile",
)


def fresh(folder: Path) -> Path:
    """A copy of the tiny project, without results."""
    return Path(shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__", "runs")))


def unmeasured(folder: Path) -> Path:
    """The same for a board that is not here: for tests of what is made, and not of its speed."""
    fresh(folder)
    (folder / "inventory.yaml").write_text("devices: []\n")
    return folder


def write_brief(folder: Path) -> None:
    """A target `local` for a project: beside deploy.yaml, it wins over the board of that name."""
    targets = Path(__file__).parents[1] / "targets"
    text = (targets / "local-onnxruntime.yaml").read_text()
    for long, short in BRIEF.items():
        assert text.count(long) == 1
        text = text.replace(long, short)
    (folder / "targets").mkdir()
    (folder / "targets" / "local.yaml").write_text(text)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgecompress", *(arguments or DEPLOY)]


def environment(folder: Path) -> dict[str, str]:
    # One thread: what a model learns may depend on how many there are.
    return {**os.environ, "TINY_LOG": str(folder / LOG), "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


class Started:
    """A copy of the zygote at work: a process that leads a session of its own."""

    def __init__(self, zygote: "Cli", pid: int, arguments: tuple[str, ...], files: Files) -> None:
        self._zygote, self._arguments, self._files = zygote, arguments, files
        self.pid = pid

    def wait(self, timeout_s: float | None = None) -> subprocess.CompletedProcess[str] | None:
        """What it did, or None when `timeout_s` are over first."""
        code = self._zygote.ask({"wait": self.pid, "timeout_s": timeout_s})["code"]
        if code is None:
            return None
        out, err = (file.read_text() for file in self._files)
        return subprocess.CompletedProcess(self._arguments, code, out, err)


class Cli:
    """The command line, without its seconds of importing; see zygote.py."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._count = 0
        self._zygote = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py")), str(scratch)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, folder: Path, *arguments: str, file_bytes: int | None = None) -> Started:
        """With `file_bytes` no file may grow larger."""
        arguments = arguments or DEPLOY
        self._count += 1
        files = (self._scratch / f"{self._count}.out", self._scratch / f"{self._count}.err")
        job = {
            "folder": str(folder),
            "arguments": arguments,
            "environment": {"TINY_LOG": str(folder / LOG)},
            "stdout": str(files[0]),
            "stderr": str(files[1]),
            "file_bytes": file_bytes,
        }
        return Started(self, self.ask({"start": job})["pid"], arguments, files)

    def run(
        self, folder: Path, *arguments: str, file_bytes: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = self.start(folder, *arguments, file_bytes=file_bytes).wait()
        assert done is not None
        return done

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        print(json.dumps(job), file=self._zygote.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._zygote.stdout.readline())
        return answer

    def close(self) -> None:
        # Closing its standard input would not do: a fork of this process that still lives, such as
        # a data loader's worker, holds that pipe open too.
        self._zygote.kill()
        self._zygote.wait()


def deploy(folder: Path, cli: Cli | None = None) -> dict[str, Any]:
    """A deploy that must succeed; its report. In a fresh process, or a copy of that of `cli`."""
    done = (cli.run if cli else run)(folder)
    assert done.returncode in MEASURED, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def epochs(folder: Path) -> int:
    """How many epochs training has asked for in this folder, in all runs."""
    log = folder / LOG
    seeds = [int(line.split()[1]) for line in log.read_text().splitlines()] if log.exists() else []
    return sum(seed < NO_EPOCH for seed in seeds)


def cached(report: dict[str, Any]) -> dict[str, bool]:
    """Stage -> its record, with 'inspect' and 'evaluate', which come several times, numbered."""
    result: dict[str, bool] = {}
    for stage in report["stages"]:
        name, number = stage["name"], 2
        while name in result:
            name, number = f"{stage['name']} {number}", number + 1
        result[name] = stage["cached"]
    return result


def essence(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what a clock or a run's id decides; all else must repeat exactly."""
    kept = {
        key: value
        for key, value in report.items()
        if key not in ("run", "created", "verdict", "checks", "speedup", "comparison")
    }
    for side in ("baseline", "candidate"):
        kept[side] = {key: value for key, value in report[side].items() if key not in _CLOCK}
        inspection = report[side]["inspection"]
        ops = [{**op, "time_us": None} for op in inspection["ops"]]
        kept[side]["inspection"] = {**inspection, "ops": ops}
    kept["points"] = [{**point, "latency_ms_p50": None} for point in report["points"]]
    kept["stages"] = [stage["name"] for stage in report["stages"]]
    kept["artifacts"] = [(a["format"], a["sha256"]) for a in report["artifacts"]]
    return kept


def assert_sound(folder: Path) -> None:
    """Nothing under runs/ is half-written or corrupt."""
    runs = folder / "runs"
    for blob in (runs / "store").glob("*/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    for report in runs.glob("*/report.json"):
        artifacts = json.loads(report.read_text())["artifacts"]
        for artifact in artifacts:
            file = folder / artifact["path"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == artifact["sha256"]
    index = sqlite3.connect(runs / "index.sqlite")
    try:
        assert index.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        index.close()
