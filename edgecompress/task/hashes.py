"""sha256 of files that are asked for again and again: read once, and known by what `stat` says.

What is younger than the clock of a file system can tell is read again, as git does with its index
(racy git): a file may have changed after it was read and have the same times.
"""

import hashlib
import json
import os
import time
from pathlib import Path

from edgecompress.artifact import sha256_of
from edgecompress.errors import ArtifactError
from edgecompress.task.opened import Stat, stat_of

ABSENT = "absent"
"""In the place of a sha256 where there is no file."""
_TICK_NS = 2_500_000_000
"""FAT keeps times by two seconds."""


class Hashes:
    """The sha256 of files, by absolute path.

    Args:
        known: what `dump` gave.

    """

    def __init__(self, known: bytes = b"{}") -> None:
        self._known: dict[str, tuple[Stat, str]] = {
            path: (tuple(stat), sha256) for path, (stat, sha256) in json.loads(known).items()
        }
        self._used: set[str] = set()

    def of(self, path: str) -> str:
        """sha256 hex of a file's content now; ABSENT where there is none that can be read."""
        stat = stat_of(path)
        known = self._known.get(path)
        self._used.add(path)
        if stat is None:
            return ABSENT
        if known is not None and known[0] == stat:
            return known[1]
        self._known.pop(path, None)
        now = time.time_ns()
        try:
            sha256 = sha256_of(Path(path))
        except ArtifactError:
            return ABSENT
        if stat_of(path) == stat and max(stat[2:]) < now - _TICK_NS:
            self._known[path] = (stat, sha256)
        return sha256

    def dump(self) -> bytes:
        """What was asked for since, to be given to the next."""
        kept = {path: self._known[path] for path in sorted(self._used & self._known.keys())}
        return json.dumps(kept).encode()


def hash_listing(path: str, but: set[str]) -> str:
    """sha256 hex of the names in a folder without those `but`; ABSENT where there is none."""
    try:
        names = sorted(name for name in os.listdir(path) if name not in but)
    except (OSError, ValueError):
        return ABSENT
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
