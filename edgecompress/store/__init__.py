"""Runs and content-addressed blobs: nothing half-written, every read verified."""

from edgecompress.store.files import atomic_write
from edgecompress.store.points import RunPoint
from edgecompress.store.prune import PruneResult
from edgecompress.store.rows import SEARCH, RunRow, StageRecord
from edgecompress.store.sealed import is_sealed, read_sealed, set_aside, write_sealed
from edgecompress.store.store import Store

__all__ = [
    "SEARCH",
    "PruneResult",
    "RunPoint",
    "RunRow",
    "StageRecord",
    "Store",
    "atomic_write",
    "is_sealed",
    "read_sealed",
    "set_aside",
    "write_sealed",
]
