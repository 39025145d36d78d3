"""A SIGKILL at any moment loses nothing that was promised and leaves nothing half-written."""

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from edgecompress.store import Store

KILLS = 10


def write_until_killed(root: Path, name: str, delay_s: float) -> list[dict[str, str]]:
    """What the writer was promised, up to `delay_s` after its first round."""
    script = Path(__file__).with_name("kill_writer.py")
    command = [sys.executable, str(script), str(root), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(delay_s)
        writer.kill()
        lines = [first, *writer.stdout.read().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def check(root: Path, promised: list[dict[str, str]]) -> None:
    with sqlite3.connect(root / "index.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    notes: list[str] = []
    store = Store(root, notes.append)
    for blob in (root / "store").glob("*/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    for document in root.glob("*/report.json"):
        json.loads(document.read_text())
    for checkpoint in root.glob("work/*/checkpoint"):
        assert checkpoint.read_bytes() == b"c" * 50_000
    for model in root.glob("*/model.bin"):
        sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
        assert (root / "store" / sha256[:2] / sha256).is_file()
    for item in promised:
        record = store.stage(item["key"])
        assert record is not None
        assert record.blobs == {"blob": item["sha256"]}
        assert store.report(item["run"]).run == item["run"]
    assert notes == []


def test_store_survives_sigkill_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(2)
    root = tmp_path / "runs"
    promised: list[dict[str, str]] = []
    for kill in range(KILLS):
        new = write_until_killed(root, f"w{kill}", moments.uniform(0.0, 0.1))
        assert new, "the writer was killed before it finished one round"
        promised += new
        check(root, promised)
    result = Store(root).prune(keep=0)
    assert not result.in_use
    assert result.stages >= len(promised)
    left = [path for path in root.rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == [".in-use", "index.sqlite"]
