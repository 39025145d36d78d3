"""Runs and content-addressed blobs: nothing half-written, every read verified."""

from edgecompress.store.files import atomic_write
from edgecompress.store.index import RunRow, StageRecord
from edgecompress.store.prune import PruneResult
from edgecompress.store.store import Store

__all__ = ["PruneResult", "RunRow", "StageRecord", "Store", "atomic_write"]
