"""Cleaning up: drop old runs, and whatever no kept run needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgecompress.store.blobs import Blobs
from edgecompress.store.files import TEMP_SUFFIX, release, remove, storage_errors, try_lock
from edgecompress.store.index import Index
from edgecompress.store.layout import Layout
from edgecompress.store.reports import REPORT, is_whole

_RUN_ID = re.compile(r"\d{8}-\d{6}-.+-[0-9a-f]{4}")


@dataclass(frozen=True)
class PruneResult:
    """How much was dropped."""

    runs: int
    stages: int
    blobs: int
    freed_bytes: int
    in_use: bool
    """A deploy was at work: only finished runs were dropped; the rest waits for the next time."""


def prune(layout: Layout, index: Index, blobs: Blobs, keep: int) -> PruneResult:
    """Keep the newest `keep` finished runs; see Store.prune.

    Raises:
        StorageError: something cannot be removed.

    """
    with storage_errors(layout.root):
        # Held to the end, so that no run starts, and counts on a stage, while it is dropped.
        alone = try_lock(layout.in_use)
        try:
            rows = index.runs()
            kept = {row.id for row in [row for row in rows if row.finished][:keep]}
            drop = [r.id for r in rows if r.id not in kept and (r.finished or alone is not None)]
            # First the row: a run that is listed has its files.
            index.drop_runs(drop)
            freed = _remove_runs(layout, drop)
            if alone is None:
                return PruneResult(len(drop), 0, 0, freed, in_use=True)
            freed += _remove_runs(layout, list(_half_dropped(layout, kept)))
            stages = index.drop_unused_stages()
            unused = blobs.unused(index.used_blobs())
            freed += sum(remove(path, layout.tmp) for path in unused) + _drop_leftovers(layout)
            return PruneResult(len(drop), stages, len(unused), freed, in_use=False)
        finally:
            if alone is not None:
                release(alone)


def _remove_runs(layout: Layout, run_ids: list[str]) -> int:
    places = [folder / run_id for run_id in run_ids for folder in (layout.root, layout.sums)]
    return sum(remove(path, layout.tmp) for path in places)


def _half_dropped(layout: Layout, known: set[str]) -> Iterator[str]:
    """Runs that an earlier pruning, which was broken off, has dropped from the index alone. One
    that the index has lost in another way is not among them: its report is damaged too.
    """
    for path in layout.sums.glob("[!.]*"):
        is_there = (layout.root / path.name).exists()
        if path.name not in known and (not is_there or is_whole(layout, path.name, REPORT)):
            yield path.name
    for path in layout.root.iterdir():
        has_sums = (layout.sums / path.name).exists()
        if _RUN_ID.fullmatch(path.name) and path.name not in known and not has_sums:
            yield path.name


def _drop_leftovers(layout: Layout) -> int:
    """Remove what only an unfinished or killed deploy can have left; returns bytes."""
    leftovers = [p for f in (layout.work, layout.quarantine, layout.tmp) for p in f.iterdir()]
    for folder in ("*-*", layout.sums.name):
        leftovers += layout.root.glob(f"{folder}/.*{TEMP_SUFFIX}")
    for path in layout.locks.glob("[!.]*"):
        handle = try_lock(path)
        if handle is not None:
            try:
                path.unlink()
            finally:
                release(handle)
    return sum(remove(path, layout.tmp) for path in leftovers)
