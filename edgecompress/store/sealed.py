"""A file that proves itself: a line with the sha256 of what follows, and of what the file is.

Checkpoints are written so. One that was changed, cut, or moved to another stage is not read.
"""

import hashlib
import secrets
from pathlib import Path

from edgecompress.errors import ArtifactError
from edgecompress.store.files import atomic_write, read_whole, storage_errors

_MAGIC = b"edgecompress sealed 1 "


def write_sealed(path: Path, content: bytes) -> None:
    """Raises StorageError when it cannot be written; an older file then stays as it was."""
    atomic_write(path, _MAGIC + _seal(path, content) + b"\n" + content)


def read_sealed(path: Path) -> bytes:
    """What `write_sealed` wrote there.

    Raises:
        ArtifactError: there is something else, or it cannot be read.

    """
    head, _, content = read_whole(path).partition(b"\n")
    if head != _MAGIC + _seal(path, content):
        raise ArtifactError(f"{path}: is not as it was written")
    return content


def is_sealed(path: Path) -> bool:
    """Whether a file is as `write_sealed` wrote it."""
    try:
        read_sealed(path)
    except ArtifactError:
        return False
    return True


def set_aside(path: Path) -> Path:
    """Move away what lies at a path, a file or not; returns where to.

    Raises:
        StorageError: the folder does not allow it.

    """
    aside = path.with_name(f"{path.name}.damaged-{secrets.token_hex(3)}")
    with storage_errors(path):
        return path.replace(aside)


def _seal(path: Path, content: bytes) -> bytes:
    """Hash of the content, the file's name and that of its folder, which is the stage's key."""
    hasher = hashlib.sha256(f"{path.parent.name}/{path.name}\n".encode())
    hasher.update(content)
    return hasher.hexdigest().encode()
