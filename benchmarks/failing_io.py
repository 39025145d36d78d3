"""Every I/O call of the store failed in turn, as SQLite's I/O-error tests do.

    python benchmarks/failing_io.py

A stage, its checkpoint, a run and a pruning are done again and again; each time another call of
open, read, write, fsync, rename, mkdir, unlink, truncate or flock on a file below `runs/` fails,
whether Python or SQLite makes it, once or from there on, with ENOSPC, EIO or EACCES. Afterwards
everything that was in the store is right, and the same again succeeds. Linux, with a C compiler.
"""

import argparse
import ctypes
import errno
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from edgecompress.errors import EdgecompressError
from edgecompress.store import StageRecord, Store, read_sealed, write_sealed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
synthetic_report = importlib.import_module("reports").synthetic_report

SOURCE = Path(__file__).with_suffix(".c")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
_LIBRARY = "EDGECOMPRESS_FAILING_IO"
CONTENT = b"weights" * 3000
CHECKPOINT = b"checkpoint" * 3000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="only every n-th call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        if _LIBRARY not in os.environ:
            return _with_library(Path(name))
        return _fail_all(Path(name), arguments.every)


def _with_library(folder: Path) -> int:
    """Run it once more, with our calls between it and the C library."""
    library = folder / "failing_io.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), _LIBRARY: str(library)}
    return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


class Calls:
    """Says which call fails."""

    def __init__(self, folder: Path) -> None:
        self._set = ctypes.CDLL(os.environ[_LIBRARY]).failing_io
        self._set.restype = ctypes.c_long
        self._folder = str(folder).encode()

    def fail(self, number: int, error: int = 0, *, for_ever: bool = False) -> int:
        """Let the call of that number fail, from 1, 0 none; returns how many there were."""
        return int(self._set(self._folder, ctypes.c_long(number), error, int(for_ever)))


def _fail_all(folder: Path, every: int) -> int:
    before, root = folder / "before", folder / "runs"
    calls = Calls(root)
    fill(before)
    shutil.copytree(before, root)
    calls.fail(0)
    work(root)
    total = calls.fail(0)
    outcomes: Counter[str] = Counter()
    for error in ERRORS:
        for for_ever in (False, True):
            for number in range(1, total + 1, every):
                shutil.rmtree(root)
                shutil.copytree(before, root)
                calls.fail(number, error, for_ever=for_ever)
                outcome = _attempt(root)
                calls.fail(0)
                fault = _fault_after(root)
                outcomes[outcome if fault is None else "wrong"] += 1
                if fault is not None or outcome == "traceback":
                    how = "from there on" if for_ever else "once"
                    print(
                        f"call {number}, {errno.errorcode[error]} {how}: {outcome}, {fault}",
                        flush=True,
                    )
    print(f"{total} calls, {sum(outcomes.values())} failures: {dict(outcomes)}")
    return 1 if outcomes["wrong"] or outcomes["traceback"] else 0


def _attempt(root: Path) -> str:
    try:
        work(root)
    except EdgecompressError:
        return "refused"
    except Exception as error:
        traceback.print_exception(error)
        return "traceback"
    return "succeeded"


def _fault_after(root: Path) -> str | None:
    """What is wrong in a store after a failure, or after the same was done again."""
    files = _open_files()
    try:
        _check(root)
        work(root)
        runs = _check(root)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if sum(row is not None for row in runs) != 2:
        return f"{runs} after pruning to 2 runs"
    left = list((root / "tmp").iterdir())
    if left:
        return f"{left} left"
    opened = _open_files() - files
    return f"{opened} files left open" if opened > 0 else None


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _check(root: Path) -> list[str | None]:
    """Look at all that a store tells; returns when each of its runs was finished."""
    notes: list[str] = []
    store = Store(root, notes.append)
    for key, metric in (("old", 0.25), ("new", 0.5)):
        for record in (store.stage(key), *store.stages(f"asked-{key}")):
            if record is None:
                assert key == "new", "the old stage is gone"
                continue
            assert record.result == {"metric": metric}, record
            content = store.path(record.blobs["model"]).read_bytes()
            assert content == CONTENT + key.encode(), "another blob"
    rows = store.runs()
    for row in rows:
        if row.finished:
            found = store.report(row.id)
            assert (found.run, found.baseline.metric.value) == (row.id, row.baseline)
            assert store.page(row.id) is not None, "its page is another"
    for path in (root / "work").glob("*/train.pt"):
        assert read_sealed(path) == CHECKPOINT
    assert not notes, notes
    return [row.finished for row in rows]


def fill(root: Path) -> None:
    """A store with two finished runs that share a stage."""
    store = Store(root)
    record = _stage(store, "old", 0.25)
    for _ in range(2):
        run = store.start_run("synthetic", "0" * 64)
        store.record_run_stage(run, record.key)
        store.finish_run(run, synthetic_report(run, 0.25), "<p>old</p>")


def work(root: Path) -> None:
    """What a deploy does with its store, and a pruning that drops the oldest run."""
    store = Store(root, lambda _: None)
    run = store.start_run("synthetic", "0" * 64)
    try:
        with store.lock("asked-new"):
            found = store.stages("asked-new")
            if found:
                record = found[0]
            else:
                write_sealed(store.work_dir("asked-new") / "train.pt", CHECKPOINT)
                record = _stage(store, "new", 0.5)
            store.record_run_stage(run, "new")
        store.record_run_stage(run, "old")
        store.copy_to(record.blobs["model"], store.run_dir(run) / "model.onnx")
        store.keep_hashes(b"{}")
        store.finish_run(run, synthetic_report(run, 0.5), "<p>new</p>")
    finally:
        store.end_run(run)
    store.prune(keep=2)


def _stage(store: Store, key: str, metric: float) -> StageRecord:
    blobs = {"model": store.put(CONTENT + key.encode())}
    record = StageRecord(key, "train", 1.0, {"metric": metric}, blobs, f"asked-{key}")
    return store.keep(record)


if __name__ == "__main__":
    sys.exit(main())
