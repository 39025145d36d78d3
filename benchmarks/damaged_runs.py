"""Single bytes of `runs/` changed, one at a time: what is kept there is right, redone or refused.

    python benchmarks/damaged_runs.py --count 20000

A small deploy is done for real, and another is killed in its training, so that there is a
checkpoint. Then, by a seed, one byte of the index, of a blob, a report, a checkpoint or a list of
sums is changed, and everything is asked for as a deploy and the commands ask for it: every stage by
what it is looked up by, every run, report, page and model, the checkpoint to be resumed. What comes
must be what came before the damage, or nothing, with a line that says so. For some of them the
commands themselves are run (`--commands`), and the deploy again (`--deploys`).
"""

import argparse
import json
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgecompress.artifact import sha256_of
from edgecompress.compress.checkpoint import Resuming
from edgecompress.errors import EdgecompressError
from edgecompress.progress import SilentProgress
from edgecompress.store import Store

TINY = Path(__file__).parents[1] / "tests" / "pipeline" / "tiny"
KINDS = {
    "index": "index.sqlite",
    "blob": "store/*/*",
    "report": "*/report.*",
    "model": "*/*.onnx",
    "checkpoint": "work/*/*.pt",
    "sums": "sums/*",
}
COMMANDS = (
    ("runs", "--json"),
    ("report", "latest", "--json"),
    ("report", "latest", "--html"),
    ("runs", "--prune", "--keep", "1", "--json"),
)
_BROKEN_OFF_S = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=math.inf, help="for the bytes, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--project", type=Path, help="kept; made where it is not there")
    parser.add_argument("--commands", type=int, default=24)
    parser.add_argument("--deploys", type=int, default=6)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        project = arguments.project or Path(name) / "project"
        if not project.exists():
            make_runs(project)
        damage = Damage(project, random.Random(arguments.seed))
        wrong = _flip(damage, arguments.count, arguments.seconds)
        wrong += _run_commands(damage, arguments.commands)
        wrong += _deploy_again(damage, arguments.deploys)
    return 1 if wrong else 0


def make_runs(project: Path) -> None:
    """A finished deploy of the tiny task, and one that was killed after its first epochs."""
    shutil.copytree(TINY, project, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    _deploy(project)
    recipe = project / "deploy.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("learning_rate: 0.005", "learning_rate: 0.004"))
    with subprocess.Popen(
        _command("deploy", "tiny", "--inventory", "inventory.yaml"),
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as broken_off:
        end = time.monotonic() + _BROKEN_OFF_S
        while not _checkpoints(project / "runs"):
            if broken_off.poll() is not None or time.monotonic() > end:
                raise SystemExit("the second deploy was to be killed in its training")
            time.sleep(0.02)
        broken_off.kill()
    recipe.write_text(text)


def _checkpoints(runs: Path) -> list[Path]:
    return [path for path in runs.glob("work/*/*.pt") if not path.name.endswith(".best.pt")]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgecompress", *arguments]


def _deploy(project: Path) -> subprocess.CompletedProcess[str]:
    return _run(project, "deploy", "tiny", "--inventory", "inventory.yaml", "--json")


def _run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = _command(*arguments)
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@dataclass
class Told:
    """All that is told of a `runs/`; None in the place of what must be done again."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def tell(runs: Path, asked: list[str], whole: dict[object, object]) -> Told:
    """Ask as a deploy and the commands do; `whole` holds checkpoints that were read before.

    Raises:
        EdgecompressError: the answer is a line.

    """
    told = Told()
    store = Store(runs, told.notes.append)
    for key in asked:
        records = store.stages(key)
        told.values[f"stage {key}"] = records[0] if records else None
        for record in records:
            for label, sha256 in record.blobs.items():
                # Its place was looked at with its stage.
                blob = runs / "store" / sha256[:2] / sha256
                told.values[f"blob {key} {label}"] = blob.read_bytes()
    rows = store.runs()
    told.values["order"] = [row.id for row in rows]
    for row in rows:
        told.values[f"run {row.id}"] = row
        if row.finished:
            report = store.report(row.id)
            told.values[f"report {row.id}"] = report
            page = store.page(row.id)
            told.values[f"page {row.id}"] = page and page.read_bytes()
            model = store.run_dir(row.id) / Path(report.artifacts[0].path).name
            is_whole = sha256_of(model) == report.artifacts[0].sha256
            told.values[f"model {row.id}"] = is_whole or None
    for path in sorted((runs / "work").iterdir()):
        content = tuple(file.read_bytes() for file in sorted(path.glob("*.pt")))
        # What is whole is read once, which takes longer than all the rest.
        known = whole.get(content)
        told.values[f"checkpoint {path.name}"] = known or _resumed(path, told.notes.append)
        if told.values[f"checkpoint {path.name}"] is not None:
            whole[content] = told.values[f"checkpoint {path.name}"]
    return told


def _resumed(work: Path, note: Callable[[str], None]) -> object:
    """What training would go on from, as plain values."""

    class Noting(SilentProgress):
        def note(self, text: str) -> None:
            note(text)

    def needs(state: dict[str, Any]) -> list[Path]:
        return [path.with_suffix(".best.pt")] if state["best"] > -math.inf else []

    found = []
    for path in sorted(work.glob("*.pt")):
        if not path.name.endswith(".best.pt"):
            state = Resuming(path, needs, None, Noting()).state()
            found.append(None if state is None else _plain(state))
    return found if None not in found else None


def _plain(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), value.flatten().tolist())
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


class Damage:
    """A project whose `runs/` is damaged, and put right again."""

    def __init__(self, project: Path, random_: random.Random) -> None:
        self.project, self.runs = project, project / "runs"
        self.random = random_
        self._pristine = {path: path.read_bytes() for path in self._files()}
        self._stats = {path: self._stat(path) for path in self._pristine}
        self._folders = {path for path in self.runs.rglob("*") if path.is_dir()}
        self.asked = _asked(self.runs)
        self._read: dict[object, object] = {}
        self.before = self.tell()
        self.restore()

    def tell(self) -> Told:
        """Raises EdgecompressError as `tell` does."""
        return tell(self.runs, self.asked, self._read)

    def _files(self) -> list[Path]:
        return [path for path in self.runs.rglob("*") if path.is_file()]

    def _stat(self, path: Path) -> tuple[int, int, int]:
        found = path.stat()
        return found.st_size, found.st_mtime_ns, found.st_ino

    def flip(self, kind: str) -> str:
        """Change one byte of one file; returns which."""
        paths = sorted(path for path in self.runs.glob(KINDS[kind]) if path in self._pristine)
        path = self.random.choice(paths)
        data = bytearray(self._pristine[path])
        position = self.random.randrange(len(data))
        data[position] ^= self.random.randrange(1, 256)
        path.write_bytes(data)
        return f"byte {position} of {path.relative_to(self.runs)}"

    def restore(self) -> None:
        """Every file as it was, and no others."""
        for path in self._files():
            if path not in self._pristine:
                path.unlink()
        for path in sorted(self.runs.rglob("*"), reverse=True):
            if path.is_dir() and path not in self._folders:
                path.rmdir()
        for path, data in self._pristine.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or self._stat(path) != self._stats[path]:
                path.write_bytes(data)
                self._stats[path] = self._stat(path)


def _asked(runs: Path) -> list[str]:
    with closing(sqlite3.connect(runs / "index.sqlite")) as db:
        return [row[0] for row in db.execute("SELECT DISTINCT asked FROM stages ORDER BY asked")]


def _flip(damage: Damage, count: int, seconds: float) -> int:
    """Returns how many flips went wrong."""
    outcomes: Counter[tuple[str, str]] = Counter()
    start = time.monotonic()
    for number in range(count):
        kind = damage.random.choice(list(KINDS))
        where = damage.flip(kind)
        try:
            outcome, why = _compare(damage, damage.tell())
        except EdgecompressError as error:
            outcome, why = "refused", str(error)
        except Exception as error:
            outcome, why = "traceback", f"{type(error).__name__}: {error}"
        outcomes[kind, outcome] += 1
        if outcome in ("wrong", "traceback"):
            print(f"{outcome}: {where}: {why}", flush=True)
        damage.restore()
        took_s = time.monotonic() - start
        if (number + 1) % 1000 == 0:
            print(f"{number + 1} in {took_s:.0f} s", file=sys.stderr, flush=True)
        if took_s > seconds:
            break
    print(f"{'':12}{'right':>8}{'redone':>8}{'refused':>9}{'wrong':>7}{'traceback':>11}")
    for kind in (*KINDS, "all"):
        row = [
            sum(n for (k, o), n in outcomes.items() if o == outcome and kind in (k, "all"))
            for outcome in ("right", "redone", "refused", "wrong", "traceback")
        ]
        print(f"{kind:12}{row[0]:>8}{row[1]:>8}{row[2]:>9}{row[3]:>7}{row[4]:>11}")
    return sum(n for (_, o), n in outcomes.items() if o in ("wrong", "traceback"))


def _compare(damage: Damage, told: Told) -> tuple[str, str]:
    """Right; redone: something is missing, and that was said or is told as missing; or wrong."""
    before, is_missing = damage.before.values, False
    for key in {**before, **told.values}:
        was, found = before.get(key), told.values.get(key)
        if found == was:
            continue
        is_missing = True
        if key == "order" and found == [
            run for run in before["order"] if run in told.values["order"]
        ]:
            found = None
        if found is not None:
            return "wrong", f"{key}: {str(found)[:200]}"
        if key.startswith(("stage", "checkpoint", "run", "order")) and not told.notes:
            return "wrong", f"{key} is missing, and nothing is said"
    return ("redone" if is_missing else "right"), ""


def _run_commands(damage: Damage, count: int) -> int:
    """The commands that read `runs/`, each in a process of its own."""
    outcomes: Counter[str] = Counter()
    before = {command: _run(damage.project, *command).stdout for command in COMMANDS[:3]}
    damage.restore()
    for number in range(count):
        command = COMMANDS[number % len(COMMANDS)]
        where = damage.flip(damage.random.choice(["index", "index", "report", "sums", "blob"]))
        done = _run(damage.project, *command)
        outcome = "right"
        if "defect" in done.stderr or "Traceback" in done.stderr:
            outcome = "traceback"
        elif done.returncode:
            outcome = "refused"
        elif command in before and done.stdout != before[command]:
            outcome = "wrong"
        outcomes[outcome] += 1
        if outcome in ("wrong", "traceback"):
            print(f"{outcome}: {where}: {' '.join(command)}: {done.stderr}")
        damage.restore()
    print(f"{count} commands: {dict(outcomes)}")
    return outcomes["wrong"] + outcomes["traceback"]


def _deploy_again(damage: Damage, count: int) -> int:
    """The same deploy over a damaged folder: its metrics and files must be the same."""
    outcomes: Counter[str] = Counter()
    wanted = _essence(json.loads(next(damage.runs.glob("*/report.json")).read_text()))
    for _ in range(count):
        where = damage.flip(damage.random.choice(["index", "index", "blob"]))
        done = _deploy(damage.project)
        document = json.loads(done.stdout)
        if "error" in document:
            outcome = "traceback" if document["error"]["exit_code"] == 1 else "refused"
        else:
            outcome = "right" if _essence(document) == wanted else "wrong"
        outcomes[outcome] += 1
        if outcome in ("wrong", "traceback"):
            print(f"{outcome}: {where}: {done.stderr}")
        damage.restore()
    print(f"{count} deploys: {dict(outcomes)}")
    return outcomes["wrong"] + outcomes["traceback"]


def _essence(report: dict[str, Any]) -> object:
    sides = [(report[side]["metric"], report[side]["macs"]) for side in ("baseline", "candidate")]
    return sides, [artifact["sha256"] for artifact in report["artifacts"]], report["epochs"]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
