"""What the index holds: its tables, its rows, and the seal by which a row proves itself.

A seal is the sha256 of the name of the table and of every value in the row, with what belongs to it
in other tables: a value that was changed, by a disk or by hand, or moved to another row, shows.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecompress.spec.report import Report

INDEX_VERSION = 2
SCHEMA = (
    "CREATE TABLE stages (key TEXT PRIMARY KEY, asked TEXT NOT NULL, name TEXT NOT NULL,"
    " seconds REAL NOT NULL, result TEXT NOT NULL, seal TEXT NOT NULL)",
    "CREATE INDEX stages_asked ON stages(asked)",
    "CREATE TABLE blobs (stage TEXT NOT NULL REFERENCES stages(key) ON DELETE CASCADE,"
    " label TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (stage, label))",
    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " target TEXT NOT NULL, recipe_digest TEXT NOT NULL, started TEXT NOT NULL, finished TEXT,"
    " decision TEXT, metric TEXT, baseline REAL, candidate REAL, speedup REAL, emulated INTEGER,"
    " report TEXT, seal TEXT NOT NULL)",
    "CREATE TABLE run_stages (run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,"
    " stage TEXT NOT NULL, PRIMARY KEY (run, stage))",
    f"PRAGMA user_version = {INDEX_VERSION}",
)
STAGES = "SELECT key, asked, name, seconds, result, seal FROM stages"
RUNS = (
    "SELECT number, id, target, recipe_digest, started, finished, decision, metric, baseline,"
    " candidate, speedup, emulated, report, seal FROM runs"
)
_STAMP = "%Y%m%d-%H%M%S"
"""What a run's id begins with."""

Row = tuple[Any, ...]
"""Values as SQLite gives them."""


@dataclass(frozen=True)
class StageRecord:
    """A finished stage, as record_stage was told."""

    key: str
    name: str
    seconds: float
    result: dict[str, object]
    blobs: dict[str, str]
    """From label to sha256."""
    asked: str = ""
    """What it is looked up by, where that is not its key."""

    def row(self) -> Row:
        """As STAGES gives it, without its seal."""
        seconds = self.seconds + 0.0  # SQLite keeps no negative zero
        return (self.key, self.asked, self.name, seconds, json.dumps(self.result))

    def seal(self) -> str:
        return seal_of("stages", self.row(), self.blobs.items())


SEARCH = "search-"
"""What the target of a search's own row begins with: its trials are in the study, and what it
deploys in the end is a run of its own.
"""


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

    @property
    def state(self) -> str:
        """The verdict, or what there is in its place."""
        if self.decision is not None:
            return self.decision
        return "search" if self.target.startswith(SEARCH) else "unfinished"


def proven_stage(row: Row, blobs: Iterable[tuple[str, str]]) -> StageRecord | None:
    """The stage of a row of STAGES; None where it is not as it was written."""
    *values, seal = row
    labelled = dict(blobs)
    if seal != seal_of("stages", values, labelled.items()):
        return None
    key, asked, name, seconds, result = (str(value) for value in values)
    return StageRecord(key, name, float(seconds), json.loads(result), labelled, asked)


def proven_run(row: Row) -> Row | None:
    """A row of RUNS without its seal; None where it is not as it was written."""
    *values, seal = row
    return tuple(values) if seal == seal_of("runs", values) else None


def run_row(values: Row) -> RunRow:
    """What `edgecompress runs` shows of a proven row."""
    shown = (*values[1:11], bool(values[11]))
    return RunRow(*shown)


def report_text(values: Row) -> str | None:
    """The JSON document of a proven row; None where the run is not finished."""
    text = values[-1]
    return None if text is None else str(text)


def finished_values(report: "Report") -> Mapping[str, object]:
    """What a finished run adds to its row, in the order of RUNS: all follows from its report."""
    from edgecompress.spec.report import to_json

    return {
        "finished": report.created,
        "decision": report.verdict.decision,
        "metric": report.baseline.metric.name,
        "baseline": _real(report.baseline.metric.value),
        "candidate": _real(report.candidate.metric.value),
        "speedup": _real(report.speedup),
        "emulated": int(report.comparison is not None and report.comparison.emulated),
        "report": to_json(report),
    }


def values_of(report: "Report") -> Row:
    """The whole row of a finished run, but for its number and its seal."""
    try:
        stamp = datetime.strptime("-".join(report.run.split("-")[:2]), _STAMP)
        started = stamp.replace(tzinfo=timezone.utc).isoformat(timespec="seconds")
    except ValueError:
        started = report.created
    begun = (None, report.run, report.target, report.recipe_digest, started)
    return (*begun, *finished_values(report).values())


def _real(value: float | None) -> float | None:
    """As SQLite keeps it, which has neither NaN nor a negative zero."""
    return None if value is None or math.isnan(value) else value + 0.0


def seal_of(table: str, values: Iterable[object], blobs: Iterable[Row] = ()) -> str:
    """sha256 hex over values as SQLite gives them back, each with its type, and over `blobs` in
    whatever order.
    """
    text = json.dumps([table, *values, sorted(map(repr, blobs))], default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def tables_of(db: sqlite3.Connection) -> list[Row]:
    """Names and definitions of all that lies in a database."""
    return db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    ).fetchall()


@cache
def known_tables() -> list[Row]:
    """What `tables_of` gives of an index that is whole."""
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in SCHEMA:
            db.execute(statement)
        return tables_of(db)
