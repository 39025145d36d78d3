"""An index that is not as it was written is noticed when it is opened, and made anew from what
proves itself: rows by their seals, and runs by their reports, which have checksums too.

The whole file is looked at: SQLite's own check finds what is wrong with its pages, the seals what
is wrong with a value. What was damaged stays in quarantine.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import StorageError
from edgecompress.store.files import (
    SQLITE_ERRORS,
    TEMP_SUFFIX,
    chunks_of,
    fault_of_file,
    is_damage,
    publish,
    release,
    storage_errors,
    take_lock,
    write_temp,
)
from edgecompress.store.index import (
    Index,
    blobs_of,
    connect,
    insert_run,
    insert_stage,
)
from edgecompress.store.layout import Layout
from edgecompress.store.reports import kept_reports, written_ns
from edgecompress.store.rows import (
    INDEX_VERSION,
    RUNS,
    SCHEMA,
    STAGES,
    Row,
    StageRecord,
    known_tables,
    proven_run,
    proven_stage,
    tables_of,
    values_of,
)

_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite may put beside its file."""


@dataclass
class _Saved:
    """What of a damaged index proves itself."""

    stages: list[StageRecord]
    runs: list[Row]
    """As RUNS gives them, without their seals."""
    run_stages: list[Row]


def checked(layout: Layout, note: Callable[[str], None]) -> Index:
    """The index of a store: made where there is none, and made anew where it is damaged.

    Args:
        layout: of the store; its folders are there.
        note: told in one line what was mended.

    Raises:
        StorageError: it cannot be read or written, or a newer edgecompress wrote it.

    """
    with storage_errors(layout.index):
        if _fault(layout.index) is not None:
            lock = take_lock(layout.mending)
            try:
                # Another process may have mended it meanwhile.
                fault = _fault(layout.index)
                if fault is not None:
                    _make_anew(layout, fault, note)
            finally:
                layout.mending.unlink(missing_ok=True)
                release(lock)
    return Index(layout.index)


def _fault(path: Path) -> str | None:
    """What is wrong with an index; '' where there is none yet, None where nothing is."""
    for file in (path, *_beside(path)):
        fault = fault_of_file(file)
        if fault is not None:
            raise StorageError(f"{file}: {fault}; move it away")
    if not path.exists() or not path.stat().st_size:
        return ""
    try:
        with closing(connect(path)) as db:
            db.execute("BEGIN")
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > INDEX_VERSION:
                raise StorageError(
                    f"{path}: written by a newer edgecompress; upgrade, or move it away"
                )
            if 0 < version < INDEX_VERSION:
                return "written by an older edgecompress"
            return _fault_inside(db)
    except SQLITE_ERRORS as error:
        if not is_damage(error):
            raise
        if "not a database" in str(error):
            # Perhaps it is none of ours.
            raise StorageError(
                f"{path}: the index is damaged ({error}); move it away: stages are redone, reports"
                " stay"
            ) from error
        return str(error)


def _fault_inside(db: sqlite3.Connection) -> str | None:
    if tables_of(db) != known_tables():
        return "its tables are others"
    ((found, *_), *_) = db.execute("PRAGMA integrity_check(1)").fetchall()
    if found != "ok":
        return str(found)
    for row in db.execute(STAGES).fetchall():
        if proven_stage(row, blobs_of(db, row[0])) is None:
            return f"the row of stage '{row[2]}' is not as it was written"
    for row in db.execute(RUNS):
        if proven_run(row) is None:
            return f"the row of run '{row[1]}' is not as it was written"
    return None


def _make_anew(layout: Layout, fault: str, note: Callable[[str], None]) -> None:
    saved = _saved(layout.index)
    temp = layout.tmp / f".index-{secrets.token_hex(6)}{TEMP_SUFFIX}"
    try:
        found = _write(temp, saved, layout)
        what = f"was missing; {found} runs were found by their reports"
        if fault:
            aside = _set_aside(layout)
            kept = f"{len(saved.stages)} stages and {found} runs are kept"
            what = f"damaged ({fault}), moved to {aside}; {kept}, what is missing is done again"
        publish(temp, layout.index)
        if fault or found:
            note(f"{layout.index}: {what}")
    finally:
        for file in (temp, *_beside(temp)):
            file.unlink(missing_ok=True)


def _saved(path: Path) -> _Saved:
    """Rows from both ends of each table, as far as they can be read."""
    stages: dict[str, StageRecord] = {}
    runs: dict[int, Row] = {}
    links: dict[Row, None] = {}
    if path.exists() and path.stat().st_size:
        for row, blobs in _rows(path, STAGES):
            record = proven_stage(row, blobs)
            if record is not None:
                stages[record.key] = record
        for row, _ in _rows(path, RUNS):
            values = proven_run(row)
            if values is not None:
                runs[values[0]] = values
        for row, _ in _rows(path, "SELECT run, stage FROM run_stages"):
            links[row] = None
    return _Saved(list(stages.values()), [runs[number] for number in sorted(runs)], list(links))


def _rows(path: Path, query: str) -> Iterator[tuple[Row, list[tuple[str, str]]]]:
    for order in ("ASC", "DESC"):
        try:
            with closing(connect(path)) as db:
                for row in db.execute(f"{query} NOT INDEXED ORDER BY rowid {order}"):
                    yield row, blobs_of(db, row[0]) if query == STAGES else []
        except SQLITE_ERRORS as error:
            if not is_damage(error):
                raise


def _write(path: Path, saved: _Saved, layout: Layout) -> int:
    """A new index with what was saved, and with what reports tell; returns how many runs it has."""
    runs = _with_lost(saved.runs, layout)
    known = {values[1] for values in runs}
    with closing(connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            db.execute(statement)
        for record in saved.stages:
            insert_stage(db, record)
        for values in runs:
            insert_run(db, values)
        links = [row for row in saved.run_stages if row[0] in known]
        db.executemany("INSERT OR IGNORE INTO run_stages VALUES (?, ?)", links)
        db.execute("COMMIT")
    return len(runs)


def _with_lost(runs: list[Row], layout: Layout) -> list[Row]:
    """With the runs that only their reports tell of, in the order in which they began."""
    known = {values[1] for values in runs}
    lost = [values_of(each) for each in kept_reports(layout) if each.run not in known]
    if not lost:
        return runs
    # Within one second, in which they may have begun, the order of their ends tells.
    runs = sorted([*runs, *lost], key=lambda row: (row[4], written_ns(layout, row[1])))
    return [(None, *values[1:]) for values in runs]


def _set_aside(layout: Layout) -> Path:
    """Copy a damaged index to quarantine; what SQLite put beside it belongs to it alone."""
    aside = layout.quarantine / f"index-{secrets.token_hex(6)}.sqlite"
    publish(write_temp(layout.tmp, chunks_of(layout.index)), aside)
    for file, name in zip(_beside(layout.index), _beside(aside), strict=True):
        if file.exists():
            file.replace(name)
    return aside


def _beside(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in _BESIDE)
