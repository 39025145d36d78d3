"""The index: which stages are done, which runs there were, and who needs what (SQLite).

Every method is one connection and one transaction, so a kill at any moment leaves either all of
it or nothing, and threads and processes may share a store. The rollback journal is kept rather
than WAL: writes are rare, and it also works on network folders.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgecompress.errors import StorageError
from edgecompress.spec.report import Report, to_json
from edgecompress.store.files import storage_errors

BUSY_TIMEOUT_S = 60.0
INDEX_VERSION = 1
_SCHEMA = (
    "CREATE TABLE stages (key TEXT PRIMARY KEY, name TEXT NOT NULL, seconds REAL NOT NULL,"
    " result TEXT NOT NULL)",
    "CREATE TABLE blobs (stage TEXT NOT NULL REFERENCES stages(key) ON DELETE CASCADE,"
    " label TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (stage, label))",
    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " target TEXT NOT NULL, recipe_digest TEXT NOT NULL, started TEXT NOT NULL, finished TEXT,"
    " decision TEXT, metric TEXT, baseline REAL, candidate REAL, speedup REAL, report TEXT)",
    "CREATE TABLE run_stages (run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,"
    " stage TEXT NOT NULL, PRIMARY KEY (run, stage))",
    f"PRAGMA user_version = {INDEX_VERSION}",
)
_RUNS = (
    "SELECT id, target, recipe_digest, started, finished, decision, metric, baseline, candidate,"
    " speedup, json_extract(report, '$.comparison.emulated') FROM runs ORDER BY number DESC"
)


@dataclass(frozen=True)
class StageRecord:
    """A finished stage, as record_stage was told."""

    key: str
    name: str
    seconds: float
    result: dict[str, object]
    blobs: dict[str, str]
    """From label to sha256."""


@dataclass(frozen=True)
class RunRow:
    """One line of `edgecompress runs`; what follows `started` is None until the run is done."""

    id: str
    target: str
    recipe_digest: str
    started: str
    """ISO 8601, UTC."""
    finished: str | None
    decision: str | None
    metric: str | None
    """Name of the metric that `baseline` and `candidate` are values of."""
    baseline: float | None
    candidate: float | None
    speedup: float | None
    emulated: bool
    """The speedup says nothing about a board."""


class Index:
    """The SQLite file of a store.

    Raises (every method):
        StorageError: disk full, no permission, damaged, or busy for more than a minute.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as db:
            version = _version(db)
        if version == 0:
            with self._write() as db:
                # Another process may have made it meanwhile.
                for statement in _SCHEMA if _version(db) == 0 else ():
                    db.execute(statement)
        elif version > INDEX_VERSION:
            raise StorageError(f"{path}: written by a newer edgecompress; upgrade, or move it away")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with (
            storage_errors(self.path),
            closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as db,
        ):
            db.execute("PRAGMA foreign_keys = ON")
            yield db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")  # left out by an exception: closing then rolls back

    def stage(self, key: str) -> StageRecord | None:
        with self._open() as db:
            query = "SELECT name, seconds, result FROM stages WHERE key = ?"
            row = db.execute(query, (key,)).fetchone()
            if row is None:
                return None
            blobs = db.execute("SELECT label, sha256 FROM blobs WHERE stage = ?", (key,))
            return StageRecord(key, row[0], row[1], json.loads(row[2]), dict(blobs.fetchall()))

    def record_stage(self, record: StageRecord) -> None:
        with self._write() as db:
            db.execute("DELETE FROM stages WHERE key = ?", (record.key,))
            db.execute(
                "INSERT INTO stages VALUES (?, ?, ?, ?)",
                (record.key, record.name, record.seconds, json.dumps(record.result)),
            )
            rows = [(record.key, label, sha256) for label, sha256 in record.blobs.items()]
            db.executemany("INSERT INTO blobs VALUES (?, ?, ?)", rows)

    def start_run(self, run_id: str, target: str, recipe_digest: str, started: str) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO runs (id, target, recipe_digest, started) VALUES (?, ?, ?, ?)",
                (run_id, target, recipe_digest, started),
            )

    def record_run_stage(self, run_id: str, key: str) -> None:
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO run_stages VALUES (?, ?)", (run_id, key))

    def finish_run(self, run_id: str, report: Report, finished: str) -> None:
        values: Mapping[str, object] = {
            "id": run_id,
            "finished": finished,
            "decision": report.verdict.decision,
            "metric": report.baseline.metric.name,
            "baseline": report.baseline.metric.value,
            "candidate": report.candidate.metric.value,
            "speedup": report.speedup,
            "report": to_json(report),
        }
        with self._write() as db:
            db.execute(
                "UPDATE runs SET finished = :finished, decision = :decision, metric = :metric,"
                " baseline = :baseline, candidate = :candidate, speedup = :speedup,"
                " report = :report WHERE id = :id",
                values,
            )

    def runs(self) -> list[RunRow]:
        """Newest first."""
        with self._open() as db:
            return [replace(RunRow(*row), emulated=bool(row[-1])) for row in db.execute(_RUNS)]

    def report(self, run_id: str) -> str | None:
        """The JSON document of a finished run."""
        with self._open() as db:
            row = db.execute("SELECT report FROM runs WHERE id = ?", (run_id,)).fetchone()
            return None if row is None else row[0]

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


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
