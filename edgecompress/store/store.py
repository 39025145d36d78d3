"""Everything a deploy keeps, under one folder `runs/` beside deploy.yaml (see layout.py).

A kill at any moment leaves at most files that `prune` removes: blobs appear by a rename, and
stages and runs by one SQLite transaction.
"""

import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import ArtifactError, SpecError, StorageError
from edgecompress.store.blobs import Blobs
from edgecompress.store.files import release, remove, storage_errors, take_lock, try_lock
from edgecompress.store.layout import Layout
from edgecompress.store.mending import checked
from edgecompress.store.points import RunPoint
from edgecompress.store.prune import PruneResult, prune
from edgecompress.store.reports import PAGE, is_whole, write_documents
from edgecompress.store.rows import RunRow, StageRecord
from edgecompress.store.sealed import is_sealed, read_sealed, write_sealed

if TYPE_CHECKING:
    from edgecompress.spec.report import Report

LATEST = "latest"
_log = logging.getLogger("edgecompress")
MOST_POINTS = 200
"""More runs make a chart that nobody can read, and reading their reports takes seconds."""
_RECENT = 5
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class Store:
    """The folder `runs/`.

    Args:
        root: The folder; made when it is not there.
        note: Called with one line about what had to be mended or waited for.

    Raises:
        StorageError: (every method) the disk is full or the folder cannot be written.

    """

    def __init__(self, root: Path, note: Callable[[str], None] = _log.warning) -> None:
        self.root = root
        self.note = note
        self._running: dict[str, int] = {}
        self._layout = layout = Layout(root)
        for folder in layout.folders:
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        self._blobs = Blobs(layout.blobs, layout.tmp, layout.quarantine)
        self._index = checked(layout, note)

    # Blobs

    def put(self, source: Path | bytes) -> str:
        """Keep a file's content, or bytes; returns its sha256. The same content is kept once.

        Raises:
            ArtifactError: the source cannot be read.

        """
        return self._blobs.put(source)

    def path(self, sha256: str) -> Path:
        """Where a blob lies, after its content was hashed again.

        Raises:
            ArtifactError: it is gone, or its content has changed; it is then in quarantine.

        """
        return self._blobs.path(sha256)

    def copy_to(self, sha256: str, destination: Path) -> None:
        """Write a verified copy of a blob, whole or not at all, for the user to keep.

        Raises:
            ArtifactError: as `path` does.

        """
        self._blobs.copy_to(sha256, destination)

    # Stages

    def stage(self, key: str) -> StageRecord | None:
        """A finished stage, or None when it must be done (again): unknown, or a blob is bad."""
        record = self._index.stage(key)
        return record if record is not None and self._has_blobs(record) else None

    def stages(self, asked: str) -> list[StageRecord]:
        """The finished stages that were recorded as an answer to `asked`, the newest first; without
        those that must be done again.
        """
        return [record for record in self._index.asked(asked) if self._has_blobs(record)]

    def _has_blobs(self, record: StageRecord) -> bool:
        for sha256 in record.blobs.values():
            try:
                self.path(sha256)
            except ArtifactError as error:
                self.note(f"{error}; the stage that made it is done again")
                return False
        return True

    def record_stage(
        self,
        key: str,
        name: str,
        seconds: float,
        result: Mapping[str, object],
        blobs: Mapping[str, str],
    ) -> StageRecord:
        """Make a stage finished, in one transaction, and drop its work folder.

        Args:
            key: Everything the stage depends on, hashed.
            name: For people.
            seconds: How long it took.
            result: What it returned, as JSON.
            blobs: From label to the sha256 that `put` returned.

        Raises:
            ArtifactError: a blob was never put.

        """
        return self.keep(StageRecord(key, name, seconds, dict(result), dict(blobs)))

    def keep(self, record: StageRecord) -> StageRecord:
        """`record_stage`, of a record that may be looked up by what was asked as well."""
        for sha256 in record.blobs.values():
            if not self._blobs.has(sha256):
                raise ArtifactError(
                    f"stage {record.name}: blob {sha256} is not in the store; put it"
                )
        work = self._layout.work / _safe(record.asked or record.key)
        self._index.record_stage(record)
        remove(work, self._layout.tmp)
        return record

    def work_dir(self, key: str) -> Path:
        """For checkpoints of an unfinished stage; `record_stage` removes it."""
        folder = self._layout.work / _safe(key)
        with storage_errors(folder):
            folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Be the only one, in any process, at work on a stage; waits for its turn."""
        path = self._layout.locks / _safe(key)
        with storage_errors(path):
            handle = try_lock(path)
            if handle is None:
                self.note(f"waiting for another deploy that is at the same stage ({path})")
                handle = take_lock(path)
        try:
            yield
        finally:
            release(handle)

    # What saves time alone, and need not be there

    def hashes(self) -> bytes | None:
        """Hashes of files that are not in the store: what `keep_hashes` was given last; None where
        that is not there as it was written.
        """
        return _read_hint(self._layout.hashes)

    def keep_hashes(self, content: bytes) -> None:
        _keep_hint(self._layout.hashes, content)

    def code(self) -> bytes | None:
        """Which modules stages run: as `hashes`, of `keep_code`."""
        return _read_hint(self._layout.code)

    def keep_code(self, content: bytes) -> None:
        _keep_hint(self._layout.code, content)

    # Runs

    def start_run(self, target: str, recipe_digest: str) -> str:
        """Begin a run; returns its id, such as 20261122-121314-local-3f9a, which sorts by time.

        Until it is finished, or the process ends, `prune` leaves stages and blobs alone.
        """
        now = datetime.now(timezone.utc)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", target)
        run_id = f"{now:%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"
        folder = self.run_dir(run_id)
        with storage_errors(self.root):
            self._running[run_id] = take_lock(self._layout.in_use, shared=True)
        try:
            self._index.start_run(run_id, target, recipe_digest, now.isoformat(timespec="seconds"))
            with storage_errors(folder):
                folder.mkdir()
        except BaseException:
            self.end_run(run_id)
            raise
        return run_id

    def run_dir(self, run_id: str) -> Path:
        """Folder of a run's report and model files."""
        return self.root / run_id

    def record_run_stage(self, run_id: str, key: str) -> None:
        """Remember that a run used a stage, so that `prune` keeps it as long as the run."""
        self._index.record_run_stage(run_id, key)

    def finish_run(self, run_id: str, report: "Report", html: str) -> Path:
        """Write report.json and report.html and mark the run done; returns the run's folder."""
        folder = self.write_reports(report, html)
        self._index.finish_run(run_id, report)
        self.end_run(run_id)
        return folder

    def write_reports(self, report: "Report", html: str) -> Path:
        """Write report.json and report.html of a run, again; returns its folder."""
        write_documents(self._layout, report, html)
        return self.run_dir(report.run)

    def end_run(self, run_id: str) -> None:
        """Stop protecting a run from `prune`, for one that failed in a process that lives on."""
        handle = self._running.pop(run_id, None)
        if handle is not None:
            release(handle)

    def runs(self) -> list[RunRow]:
        """All runs, newest first."""
        return self._index.runs()

    def points(self, most: int = MOST_POINTS) -> list[RunPoint]:
        """What the newest finished runs would ship, the newest first."""
        return self._index.points(most)

    def find_run(self, reference: str) -> RunRow:
        """The finished run of that id, unique prefix of an id, or 'latest'.

        Raises:
            SpecError: there is none, or more than one; recent ones are listed.

        """
        rows = self.runs()
        done = [row for row in rows if row.finished]
        recent = "recent: " + (", ".join(row.id for row in done[:_RECENT]) or "none; deploy first")
        if reference == LATEST:
            matches = done[:1]
        else:
            matches = [row for row in rows if row.id.startswith(reference) and reference]
        if not matches:
            raise SpecError(f"run '{reference}' is unknown; {recent}")
        if len(matches) > 1:
            raise SpecError(f"run '{reference}' fits {len(matches)} runs; {recent}")
        if not matches[0].finished:
            raise SpecError(f"run '{matches[0].id}' did not finish, deploy again; {recent}")
        return matches[0]

    def report(self, reference: str) -> "Report":
        """The report of a run, found as by `find_run`.

        Raises:
            SpecError: as `find_run` does.

        """
        # Imported here, because a list of runs needs no specs.
        from edgecompress.spec.report import from_json

        run_id = self.find_run(reference).id
        text = self._index.report(run_id)
        if text is None:
            raise StorageError(f"{self._index.path}: run {run_id} was just pruned; deploy again")
        return from_json(text, f"run {run_id}")

    def page(self, run_id: str) -> Path | None:
        """Where the report.html of a finished run lies; None where it is not as it was written."""
        whole = is_whole(self._layout, run_id, PAGE)
        return self.run_dir(run_id) / PAGE if whole else None

    # Cleaning up

    def prune(self, keep: int) -> PruneResult:
        """Drop all but the newest `keep` finished runs, and what none of the kept ones needs.

        Unfinished runs, stages and blobs nobody refers to, checkpoints, temp files and the
        quarantine go too, unless a deploy is at work in some process.

        Raises:
            SpecError: keep is negative.

        """
        if keep < 0:
            raise SpecError(f"runs --prune: keep must be 0 or more, not {keep}")
        return prune(self._layout, self._index, self._blobs, keep)


def _safe(key: str) -> str:
    """Keys are made by us and name files; a ValueError is a defect."""
    if not _SAFE_NAME.fullmatch(key):
        raise ValueError(f"{key!r} cannot be a stage key")
    return key


def _read_hint(path: Path) -> bytes | None:
    return read_sealed(path) if is_sealed(path) else None


def _keep_hint(path: Path, content: bytes) -> None:
    if content != _read_hint(path):
        write_sealed(path, content)
