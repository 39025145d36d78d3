"""The index: which stages are done, which runs there were, and who needs what (SQLite).

Every method is one connection and one transaction, so a kill at any moment leaves either all of
it or nothing, and threads and processes may share a store. The rollback journal is kept rather
than WAL: writes are rare, and it also works on network folders.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import StorageError
from edgecompress.store.files import storage_errors
from edgecompress.store.points import RunPoint, run_points
from edgecompress.store.rows import (
    RUNS,
    STAGES,
    Row,
    RunRow,
    StageRecord,
    finished_values,
    proven_run,
    proven_stage,
    report_text,
    run_row,
    seal_of,
    values_of,
)

if TYPE_CHECKING:
    from edgecompress.spec.report import Report

BUSY_TIMEOUT_S = 60.0


class Index:
    """The SQLite file of a store, which `mending.checked` has looked at.

    Raises (every method):
        StorageError: disk full, no permission, busy for more than a minute, or damaged since.

    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with storage_errors(self.path), closing(connect(self.path)) as db:
            yield db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")  # left out by an exception: closing then rolls back

    def stage(self, key: str) -> StageRecord | None:
        with self._open() as db:
            row = db.execute(STAGES + " WHERE key = ?", (key,)).fetchone()
            return None if row is None else self._stage(db, row)

    def asked(self, asked: str) -> list[StageRecord]:
        """Every stage that was recorded for it, the newest first."""
        with self._open() as db:
            rows = db.execute(STAGES + " WHERE asked = ? ORDER BY rowid DESC", (asked,)).fetchall()
            return [self._stage(db, row) for row in rows]

    def _stage(self, db: sqlite3.Connection, row: Row) -> StageRecord:
        record = proven_stage(row, blobs_of(db, row[0]))
        if record is None:
            raise self._changed(f"the row of stage {row[2]}")
        return record

    def record_stage(self, record: StageRecord) -> None:
        with self._write() as db:
            insert_stage(db, record)

    def start_run(self, run_id: str, target: str, recipe_digest: str, started: str) -> None:
        with self._write() as db:
            insert_run(db, (None, run_id, target, recipe_digest, started, *[None] * 8))

    def record_run_stage(self, run_id: str, key: str) -> None:
        with self._write() as db:
            # A run that was lost with a damaged index comes back when it is finished.
            db.execute(
                "INSERT OR IGNORE INTO run_stages SELECT id, ? FROM runs WHERE id = ?",
                (key, run_id),
            )

    def finish_run(self, run_id: str, report: "Report") -> None:
        with self._write() as db:
            if db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is None:
                # The index was made anew meanwhile, from one in which the run was lost.
                insert_run(db, values_of(report))
            else:
                _finish_run(db, run_id, report)

    def runs(self) -> list[RunRow]:
        """Newest first."""
        with self._open() as db:
            rows = db.execute(RUNS + " ORDER BY number DESC")
            return [run_row(self._run(row)) for row in rows]

    def points(self, most: int) -> list[RunPoint]:
        """The newest finished runs, the newest first."""
        with self._open() as db:
            query = f"{RUNS} WHERE report IS NOT NULL ORDER BY number DESC LIMIT ?"
            rows = db.execute(query, (most,)).fetchall()
        texts = (report_text(self._run(row)) for row in rows)
        return run_points(text for text in texts if text is not None)

    def report(self, run_id: str) -> str | None:
        """The JSON document of a finished run."""
        with self._open() as db:
            row = db.execute(RUNS + " WHERE id = ?", (run_id,)).fetchone()
            return None if row is None else report_text(self._run(row))

    def _run(self, row: Row) -> Row:
        values = proven_run(row)
        if values is None:
            raise self._changed(f"the row of run {row[1]}")
        return values

    def _changed(self, what: str) -> StorageError:
        return StorageError(f"{self.path}: {what} was changed since it was written; try again")

    def drop_runs(self, run_ids: Iterable[str]) -> None:
        with self._write() as db:
            db.executemany("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in run_ids])

    def drop_unused_stages(self) -> int:
        """Forget the stages that no run refers to; returns how many."""
        with self._write() as db:
            query = "DELETE FROM stages WHERE key NOT IN (SELECT stage FROM run_stages)"
            return db.execute(query).rowcount

    def used_blobs(self) -> set[str]:
        """sha256 of every blob that a stage refers to."""
        with self._open() as db:
            return {row[0] for row in db.execute("SELECT sha256 FROM blobs")}


def connect(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own. Raises sqlite3.Error."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    # What is no UTF-8 is no longer what was written, which its seal shows.
    db.text_factory = lambda text: text.decode(errors="replace")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def blobs_of(db: sqlite3.Connection, key: object) -> list[tuple[str, str]]:
    """(label, sha256) of a stage's."""
    return db.execute("SELECT label, sha256 FROM blobs WHERE stage = ?", (key,)).fetchall()


def insert_stage(db: sqlite3.Connection, record: StageRecord) -> None:
    """In place of an earlier one with its key."""
    db.execute("DELETE FROM stages WHERE key = ?", (record.key,))
    db.execute("INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?)", (*record.row(), record.seal()))
    rows = [(record.key, label, sha256) for label, sha256 in record.blobs.items()]
    db.executemany("INSERT INTO blobs VALUES (?, ?, ?)", rows)


def insert_run(db: sqlite3.Connection, values: Row) -> None:
    """A row as RUNS gives it, without its seal; where it has no number it is given one."""
    insert = "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')"
    db.execute(insert, values)
    _seal_run(db, values[1])


def _finish_run(db: sqlite3.Connection, run_id: str, report: "Report") -> None:
    """Add to the row of a run what its report says."""
    db.execute(
        "UPDATE runs SET finished = :finished, decision = :decision, metric = :metric,"
        " baseline = :baseline, candidate = :candidate, speedup = :speedup,"
        " emulated = :emulated, report = :report WHERE id = :id",
        {**finished_values(report), "id": run_id},
    )
    _seal_run(db, run_id)


def _seal_run(db: sqlite3.Connection, run_id: str) -> None:
    """Seal what the row holds now."""
    *values, _ = db.execute(RUNS + " WHERE id = ?", (run_id,)).fetchone()
    db.execute("UPDATE runs SET seal = ? WHERE id = ?", (seal_of("runs", values), run_id))
