"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


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
