"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .failure import Failure

CHUNK_BYTES = 1 << 20


@contextmanager
def whole(path: str) -> Iterator[str]:
    """A name to write to beside `path`; becomes `path` when the block ends without error."""
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        yield str(part)
        part.replace(path)
    finally:
        if part.exists():
            part.unlink()


def sha256_of(path: str) -> str:
    """Raises Failure when it cannot be read."""
    hasher = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                hasher.update(chunk)
    except OSError as error:
        raise Failure("input", f"{path}: cannot be read: {error.strerror}") from None
    return hasher.hexdigest()
