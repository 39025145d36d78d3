"""What the disk refuses becomes one line that says what to do, and nothing is lost."""

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edgecompress.errors import StorageError
from edgecompress.spec.report import Report
from edgecompress.store import Store, atomic_write
from edgecompress.store.files import storage_errors

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unlike tmp_path, one that any user can reach."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@contextmanager
def without_root(folder: Path) -> Iterator[None]:
    """Root ignores modes, so be somebody else for a while."""
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_read_only_folder_is_refused(folder: Path) -> None:
    with without_root(folder):
        with pytest.raises(StorageError, match=r"runs: no permission to write .*; make it"):
            Store(folder / "runs")
        with pytest.raises(StorageError, match=r"file: no permission to write"):
            atomic_write(folder / "file", b"x")


def test_a_read_only_store_can_be_read_but_not_run(
    folder: Path, make_report: Callable[..., Report]
) -> None:
    store = Store(folder)
    run_id = store.start_run("local", "0" * 64)
    store.finish_run(run_id, make_report(run_id), "")
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with without_root(folder):
        store = Store(folder)
        assert store.report("latest").run == run_id
        with pytest.raises(StorageError, match="no permission to write"):
            store.start_run("local", "0" * 64)
        with pytest.raises(StorageError, match="no permission to write"):
            store.put(b"x")
    for path in folder.rglob("*"):
        path.chmod(0o755)


@pytest.mark.parametrize("below", ["runs", "runs/deeper"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="a file is where a folder is needed; move"):
        Store(tmp_path / below)
    assert (tmp_path / "runs").read_text() == "a file"


def test_a_full_disk_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "runs")
    path = tmp_path / "report.json"
    atomic_write(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"^\S*report.json: disk is full; free \d+ MB, or run"):
        atomic_write(path, b"new")
    with pytest.raises(StorageError, match=r"disk is full; free \d+ MB, or run"):
        store.put(b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p for p in tmp_path.rglob("*.tmp") if p.is_file()] == []
    assert store.path(store.put(b"new"))


LIMITED = """
import resource, sys
from pathlib import Path
from edgecompress.errors import StorageError
from edgecompress.store import Store
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for attempt in (
    lambda: store.put(b"x" * 200_000),
    lambda: store.record_stage("k", "train", 1.0, {"history": "x" * 200_000}, {}),
):
    try:
        attempt()
    except StorageError as error:
        print(error)
"""


def test_a_write_that_the_kernel_cuts_off_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    command = [sys.executable, "-c", LIMITED, str(root)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 2
    assert "file is larger than this process may write; raise the limit" in lines[0]
    assert lines[1].startswith(f"{root / 'index.sqlite'}: ")
    assert [p for p in (root / "store").rglob("*") if p.is_file()] == []
    assert list((root / "tmp").iterdir()) == []
    store = Store(root)
    assert store.stage("k") is None
    store.record_stage("k", "train", 1.0, {}, {})
    assert store.stage("k") is not None


def test_a_full_database_says_so(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "small.sqlite")
    db.execute("PRAGMA max_page_count = 2")
    db.execute("CREATE TABLE t (x)")
    with (
        closing(db),
        pytest.raises(StorageError, match=r"disk is full; free \d+ MB"),
        storage_errors(tmp_path),
    ):
        db.execute("INSERT INTO t VALUES (?)", ("x" * 100_000,))


def test_a_damaged_index_is_named_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    Store(root)
    (root / "index.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StorageError, match=r"index.sqlite: the index is damaged .*move it away"):
        Store(root)
    assert (root / "index.sqlite").read_bytes().startswith(b"this is no")


def test_an_index_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    Store(root)
    with sqlite3.connect(root / "index.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="written by a newer edgecompress"):
        Store(root)


def test_atomic_write_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent/file: No such file or directory"):
        atomic_write(tmp_path / "absent" / "file", b"x")
