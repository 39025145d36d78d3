"""Runs, their reports, pruning, and locks between processes."""

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecompress.errors import SpecError
from edgecompress.spec.report import Report
from edgecompress.store import SEARCH, Store

MakeReport = Callable[..., Report]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def finished_run(store: Store, make_report: MakeReport, content: bytes) -> str:
    """One run with a stage, a blob, and a model file of its own."""
    run_id = store.start_run("local", "0" * 64)
    sha256 = store.put(content)
    store.record_stage(f"key-{sha256}", "train", 1.0, {}, {"weights": sha256})
    store.record_run_stage(run_id, f"key-{sha256}")
    store.copy_to(sha256, store.run_dir(run_id) / "model.onnx")
    store.finish_run(run_id, make_report(run_id), "<p>report</p>")
    return run_id


def test_a_finished_run_has_its_documents_and_its_row(
    store: Store, make_report: MakeReport
) -> None:
    run_id = store.start_run("raspberry pi/5", "ab" * 32)
    assert [row.finished for row in store.runs()] == [None]
    folder = store.finish_run(run_id, make_report(run_id, accuracy=0.75), "<p>report</p>")
    assert (folder / "report.html").read_text() == "<p>report</p>"
    assert json.loads((folder / "report.json").read_text())["baseline"]["accuracy"] == 0.75
    (row,) = Store(store.root).runs()
    assert (row.id, row.target, row.decision) == (run_id, "raspberry pi/5", "unmeasured")
    assert (row.metric, row.baseline, row.candidate, row.speedup) == ("accuracy", 0.75, 0.75, None)
    assert "/" not in run_id


def test_a_report_survives_even_with_figures_that_are_not_finite(
    store: Store, make_report: MakeReport
) -> None:
    run_id = store.start_run("local", "0" * 64)
    folder = store.finish_run(run_id, make_report(run_id, accuracy=math.nan), "")
    written = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert written["baseline"]["accuracy"] == "NaN"
    assert math.isnan(store.report(run_id).baseline.metric.value)


def test_runs_are_found_by_id_prefix_and_latest(store: Store, make_report: MakeReport) -> None:
    with pytest.raises(SpecError, match="run 'latest' is unknown; recent: none; deploy first"):
        store.report("latest")
    first, second = (finished_run(store, make_report, bytes([i])) for i in range(2))
    unfinished = store.start_run("local", "0" * 64)
    assert store.report("latest").run == second
    assert store.report(first).run == first
    assert store.report(first[:-1] if first[:-1] != second[:-1] else first).run == first
    with pytest.raises(SpecError, match=f"fits 3 runs; recent: {second}, {first}$"):
        store.report("20")
    for unknown in ("nonsense", ""):
        with pytest.raises(SpecError, match=f"unknown; recent: {second}, {first}$"):
            store.report(unknown)
    with pytest.raises(SpecError, match="did not finish, deploy again"):
        store.report(unfinished)


def test_a_search_is_told_from_a_run_that_did_not_finish(
    store: Store, make_report: MakeReport
) -> None:
    finished_run(store, make_report, b"done")
    for target in ("local", f"{SEARCH}local"):
        store.start_run(target, "0" * 64)
    assert [row.state for row in store.runs()] == ["search", "unfinished", "unmeasured"]


def test_prune_keeps_what_kept_runs_need(store: Store, make_report: MakeReport) -> None:
    old = finished_run(store, make_report, b"old" * 1000)
    shared = finished_run(store, make_report, b"shared")
    new = finished_run(store, make_report, b"new")
    store.record_run_stage(new, key_of(b"shared"))
    orphan = store.put(b"orphan" * 1000)
    store.work_dir("dead").joinpath("checkpoint").write_bytes(b"x" * 500)
    (store.root / "tmp" / ".1-dead.tmp").write_bytes(b"x" * 10)
    (store.run_dir(new) / ".2-dead.tmp").write_bytes(b"x" * 10)
    damaged = store.put(b"damaged")
    store.path(damaged).write_bytes(b"DAMAGED!")
    store.record_stage("damaged", "train", 1.0, {}, {"weights": damaged})
    assert store.stage("damaged") is None
    before = total_bytes(store.root)

    result = store.prune(keep=1)

    assert (result.runs, result.stages, result.blobs, result.in_use) == (2, 2, 2, False)
    assert result.freed_bytes == before - total_bytes(store.root)
    assert [row.id for row in store.runs()] == [new]
    assert not store.run_dir(old).exists()
    assert not store.run_dir(shared).exists()
    assert sorted(p.name for p in store.run_dir(new).iterdir()) == [
        "model.onnx",
        "report.html",
        "report.json",
    ]
    for content in (b"shared", b"new"):
        assert store.stage(key_of(content)) is not None
    assert store.stage(key_of(b"old" * 1000)) is None
    assert not list((store.root / "store").glob(f"*/{orphan}"))
    for folder in ("tmp", "work", "quarantine"):
        assert list((store.root / folder).iterdir()) == []
    assert store.prune(keep=1) == type(result)(0, 0, 0, 0, in_use=False)


def key_of(content: bytes) -> str:
    return f"key-{hashlib.sha256(content).hexdigest()}"


def total_bytes(root: Path) -> int:
    """The content of everything but the index, whose file keeps its size."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "index.sqlite"]
    return sum(path.stat().st_size for path in files)


def test_prune_leaves_a_run_at_work_alone(store: Store, make_report: MakeReport) -> None:
    finished_run(store, make_report, b"old")
    alive = store.start_run("local", "0" * 64)
    sha256 = store.put(b"not yet recorded")
    result = Store(store.root).prune(keep=0)
    assert (result.runs, result.blobs, result.in_use) == (1, 0, True)
    assert store.path(sha256)
    assert [row.id for row in store.runs()] == [alive]
    store.end_run(alive)
    assert Store(store.root).prune(keep=0).runs == 1
    assert store.runs() == []


def test_prune_refuses_a_negative_number(store: Store) -> None:
    with pytest.raises(SpecError, match="must be 0 or more, not -1"):
        store.prune(-1)


HOLD = """
import sys
from pathlib import Path
from edgecompress.store import Store
with Store(Path(sys.argv[1])).lock("stage"):
    print("held", flush=True)
    sys.stdin.readline()
    with open(sys.argv[2], "a") as log:
        log.write("done\\n")
"""


def test_a_lock_is_waited_for_and_dies_with_its_holder(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", HOLD, str(store.root), str(log)]
    with worker(command) as holder:
        assert holder.stdout.readline() == "held\n"
        with Store(store.root).lock("another-stage"):
            pass
        with worker(command) as waiter:
            waiter.stdin.write("\n")
            waiter.stdin.flush()
            assert "waiting for another deploy" in waiter.stderr.readline()
            assert not log.exists()
            holder.kill()
            assert waiter.stdout.readline() == "held\n"
            waiter.wait(timeout=60)
    assert log.read_text() == "done\n"


@contextmanager
def worker(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_waits_for_a_lock_is_told_so(store: Store) -> None:
    notes: list[str] = []

    class Stop(Exception):
        pass

    def note(line: str) -> None:
        notes.append(line)
        raise Stop

    other = Store(store.root, note)
    with store.lock("stage"), pytest.raises(Stop), other.lock("stage"):
        pass
    assert len(notes) == 1
    assert notes[0].startswith("waiting for another deploy")
    with store.lock("stage"):
        pass
