"""What is in `runs/` is right, or it is noticed: values, rows, files, changed by disk or hand."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edgecompress.errors import ArtifactError, StorageError
from edgecompress.spec.report import Report
from edgecompress.store import Store, read_sealed, write_sealed

MakeReport = Callable[..., Report]


@pytest.fixture
def filled(tmp_path: Path, make_report: MakeReport) -> Path:
    """A store with three stages and two finished runs, of the target that their reports name."""
    store = Store(tmp_path / "runs")
    for accuracy in (0.25, 0.75):
        run_id = store.start_run("synthetic", "0" * 64)
        for name in ("train", "export"):
            sha256 = store.put(f"{name} {accuracy}".encode())
            key = f"{name}-{accuracy}" if name == "train" else name
            store.record_stage(key, name, 1.0, {"metric": accuracy}, {"model": sha256})
            store.record_run_stage(run_id, key)
        store.finish_run(run_id, make_report(run_id, accuracy), f"<p>{accuracy}</p>")
    return store.root


def held(root: Path, notes: list[str]) -> dict[str, object]:
    """All that a store tells of what it keeps."""
    store = Store(root, notes.append)
    stages = {key: store.stage(key) for key in ("train-0.25", "train-0.75", "export")}
    runs = store.runs()
    return {**stages, "runs": runs, **{row.id: store.report(row.id) for row in runs}}


def execute(root: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(root / "index.sqlite")) as db, db:
        assert db.execute(statement, values).rowcount


STAGE_EDITS = (
    "UPDATE stages SET result = '{\"metric\": 0.99}' WHERE key = 'train-0.75'",
    "UPDATE stages SET result = substr(result, 1, 9) WHERE key = 'train-0.75'",
    "UPDATE stages SET result = X'00FF' WHERE key = 'train-0.75'",
    "UPDATE stages SET name = 'quantize' WHERE key = 'train-0.75'",
    "UPDATE stages SET seconds = 2.0 WHERE key = 'train-0.75'",
    "UPDATE stages SET asked = 'other' WHERE key = 'train-0.75'",
    "UPDATE stages SET seal = 'no seal' WHERE key = 'train-0.75'",
    "UPDATE blobs SET label = 'other' WHERE stage = 'train-0.75'",
    "UPDATE blobs SET sha256 = (SELECT sha256 FROM blobs WHERE stage = 'export')"
    " WHERE stage = 'train-0.75'",
    "DELETE FROM blobs WHERE stage = 'train-0.75'",
)


@pytest.mark.parametrize("edit", STAGE_EDITS)
def test_an_edited_stage_is_done_again(filled: Path, edit: str) -> None:
    before = held(filled, [])
    execute(filled, edit)
    notes: list[str] = []
    assert held(filled, notes) == {**before, "train-0.75": None}
    assert len(notes) == 1
    assert "the row of stage" in notes[0]
    assert held(filled, notes) == {**before, "train-0.75": None}
    assert len(notes) == 1, "what was mended is whole"


def test_exchanged_rows_are_noticed(filled: Path) -> None:
    """Each value is one that was written; only not there."""
    before = held(filled, [])
    for old, new in (("train-0.25", "x"), ("train-0.75", "train-0.25"), ("x", "train-0.75")):
        with closing(sqlite3.connect(filled / "index.sqlite")) as db, db:
            db.execute("UPDATE stages SET key = ? WHERE key = ?", (new, old))
            db.execute("UPDATE blobs SET stage = ? WHERE stage = ?", (new, old))
    assert held(filled, []) == {**before, "train-0.25": None, "train-0.75": None}


RUN_COLUMNS = {
    "number": 77,
    "id": "20200101-000000-local-ffff",
    "target": "other",
    "recipe_digest": "1" * 64,
    "started": "2020-01-01T00:00:00+00:00",
    "finished": None,
    "decision": "ship",
    "metric": "other",
    "baseline": 0.5,
    "candidate": 0.99,
    "speedup": 9.0,
    "emulated": 1,
    "report": "{}",
    "seal": "",
}


@pytest.mark.parametrize("column", RUN_COLUMNS)
def test_an_edited_run_is_made_again_from_its_report(filled: Path, column: str) -> None:
    before = held(filled, [])
    newest = Store(filled).find_run("latest").id
    edit = f"UPDATE runs SET {column} = ? WHERE id = ?"  # noqa: S608
    execute(filled, edit, RUN_COLUMNS[column], newest)
    notes: list[str] = []
    assert held(filled, notes) == before
    assert len(notes) == 1
    assert "the row of run" in notes[0]


def test_a_run_whose_report_was_changed_too_is_not_shown(filled: Path) -> None:
    newest = Store(filled).find_run("latest").id
    execute(filled, "UPDATE runs SET candidate = 0.99 WHERE id = ?", newest)
    report = filled / newest / "report.json"
    report.write_text(report.read_text().replace("0.75", "0.99"))
    notes: list[str] = []
    assert newest not in [row.id for row in Store(filled, notes.append).runs()]
    assert "1 runs are kept" in notes[0]
    assert report.exists()


@pytest.mark.parametrize("bytes_left", [0, 1, 100, 4096, 5000, 20000])
def test_a_cut_index_is_mended(filled: Path, bytes_left: int) -> None:
    before = held(filled, [])
    index = filled / "index.sqlite"
    index.write_bytes(index.read_bytes()[:bytes_left])
    notes: list[str] = []
    after = held(filled, notes)
    assert notes
    assert after["runs"] == before["runs"]
    for key, found in after.items():
        assert found in (before[key], None)


def test_an_index_that_is_gone_is_made_from_the_reports(filled: Path) -> None:
    before = held(filled, [])
    (filled / "index.sqlite").unlink()
    notes: list[str] = []
    after = held(filled, notes)
    assert after["runs"] == before["runs"]
    assert notes[0].endswith("was missing; 2 runs were found by their reports")


def test_an_index_with_other_tables_is_set_aside(filled: Path) -> None:
    before = held(filled, [])
    execute(filled, "UPDATE runs SET seal = seal")
    with closing(sqlite3.connect(filled / "index.sqlite")) as db, db:
        db.execute("ALTER TABLE stages ADD COLUMN extra TEXT")
    notes: list[str] = []
    assert held(filled, notes) == before
    assert "its tables are others" in notes[0]
    (aside,) = (filled / "quarantine").iterdir()
    assert str(aside) in notes[0]


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_rubbish_beside_the_index_does_no_harm(filled: Path, suffix: str) -> None:
    before = held(filled, [])
    (filled / f"index.sqlite{suffix}").write_bytes(b"\xd9\xd5\x05\xf9 \xa1c\xd7" + b"rubbish" * 999)
    assert held(filled, []) == before


def test_a_changed_page_is_not_shown_as_whole(filled: Path) -> None:
    store = Store(filled)
    newest = store.find_run("latest").id
    page = store.page(newest)
    assert page is not None
    page.write_text("<p>0.99</p>")
    assert store.page(newest) is None


def test_a_sealed_file_is_read_only_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "epoch.pt"
    content = bytes(range(256))
    write_sealed(path, content)
    whole = path.read_bytes()
    assert read_sealed(path) == content
    damaged = [whole[:size] for size in range(len(whole))]
    for position in range(len(whole)):
        for bit in (1, 128):
            flipped = bytearray(whole)
            flipped[position] ^= bit
            damaged.append(bytes(flipped))
    for data in (*damaged, whole + b"\0"):
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="is not as it was written"):
            read_sealed(path)
    other = path.with_name("other.pt")
    other.write_bytes(whole)
    with pytest.raises(ArtifactError, match="is not as it was written"):
        read_sealed(other)


FLIPS = 100


def test_single_bytes(filled: Path) -> None:
    """The small form of benchmarks/damaged_runs.py."""
    random_ = random.Random(0)
    before = held(filled, [])
    whole = {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()}
    # Of two runs that began within one second, the time at which each was written tells the first.
    written_ns = {path: path.stat().st_mtime_ns for path in whole}
    index = filled / "index.sqlite"
    for _ in range(FLIPS):
        path = random_.choice([index, random_.choice(list(whole))])
        data = bytearray(whole[path]) or bytearray(1)
        position = random_.randrange(len(data))
        data[position] ^= random_.randrange(1, 256)
        path.write_bytes(data)
        notes: list[str] = []
        try:
            after = held(filled, notes)
        except StorageError:
            after = {}
        for key, found in after.items():
            assert found == before[key] or (found is None and notes), (path, position)
        for extra in set(filled.rglob("*")) - set(whole):
            if extra.is_file():
                extra.unlink()
        for each, content in whole.items():
            each.write_bytes(content)
            os.utime(each, ns=(written_ns[each], written_ns[each]))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_failing_io() -> None:
    """The small form of benchmarks/failing_io.py."""
    script = Path(__file__).parents[2] / "benchmarks" / "failing_io.py"
    command = [sys.executable, str(script), "--every", "101"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
