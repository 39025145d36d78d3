"""Cleaning up: drop old runs, and whatever no kept run needs."""

from dataclasses import dataclass

from edgecompress.store.blobs import Blobs
from edgecompress.store.files import TEMP_SUFFIX, release, remove, storage_errors, try_lock
from edgecompress.store.index import Index
from edgecompress.store.layout import Layout


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
            files = [
                path for run_id in drop for path in (layout.root / run_id, layout.sums / run_id)
            ]
            freed = sum(remove(path, layout.tmp) for path in files)
            index.drop_runs(drop)
            if alone is None:
                return PruneResult(len(drop), 0, 0, freed, in_use=True)
            stages = index.drop_unused_stages()
            unused = blobs.unused(index.used_blobs())
            freed += sum(remove(path, layout.tmp) for path in unused) + _drop_leftovers(layout)
            return PruneResult(len(drop), stages, len(unused), freed, in_use=False)
        finally:
            if alone is not None:
                release(alone)


def _drop_leftovers(layout: Layout) -> int:
    """Remove what only an unfinished or killed deploy can have left; returns bytes."""
    leftovers = [p for f in (layout.work, layout.quarantine, layout.tmp) for p in f.iterdir()]
    for folder in ("*-*", layout.sums.name):
        leftovers += layout.root.glob(f"{folder}/.*{TEMP_SUFFIX}")
    for path in layout.locks.glob("[!.]*"):
        handle = try_lock(path)
        if handle is not None:
            path.unlink()
            release(handle)
    return sum(remove(path, layout.tmp) for path in leftovers)
