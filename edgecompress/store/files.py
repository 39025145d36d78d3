"""Files that are there whole or not at all, and one-line errors when the disk says no."""

import errno
import fcntl
import os
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecompress.errors import ArtifactError, StorageError

TEMP_SUFFIX = ".tmp"
CHUNK_BYTES = 1 << 20

_FULL = {errno.ENOSPC: "disk is full", errno.EDQUOT: "disk quota is used up"}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_SQLITE_FULL = "database or disk is full"
_SQLITE_DENIED = ("readonly", "unable to open")
_SQLITE_DISK = (_SQLITE_FULL, *_SQLITE_DENIED, "disk I/O error", "locked", "busy")
SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""The second comes of a damaged file too: SQLite quotes it, and Python takes that for text."""


@contextmanager
def storage_errors(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn what the file system or SQLite refuses at `path` into one line.

    Args:
        path: The file or folder that is worked on.
        needed_bytes: How much is about to be written there.

    Raises:
        StorageError: with what to do about it.

    """
    try:
        yield
    except OSError as error:
        where = _place(path, error)
        raise StorageError(f"{where}: {_explain(where, error, needed_bytes)}") from error
    except sqlite3.IntegrityError:
        raise
    except SQLITE_ERRORS as error:
        raise StorageError(f"{path}: {_explain_sqlite(path, str(error))}") from error


def _place(path: Path, error: OSError) -> Path:
    """What the file system refused, where that is known and is no file of a moment."""
    name = error.filename
    if not isinstance(name, str) or name.endswith(TEMP_SUFFIX):
        return path
    return Path(name)


def _explain(path: Path, error: OSError, needed_bytes: int) -> str:
    if error.errno in _FULL:
        return _full(path, _FULL[error.errno], needed_bytes)
    if error.errno == errno.EFBIG:
        return "file is larger than this process may write; raise the limit (ulimit -f)"
    if error.errno in _DENIED:
        return f"no permission to write ({error.strerror}); make it writable or use another folder"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file is where a folder is needed; move that file away"
    return f"{error.strerror or error}; check the folder and try again"


def _explain_sqlite(path: Path, message: str) -> str:
    if _SQLITE_FULL in message:
        return _full(path, _FULL[errno.ENOSPC], 0)
    if any(word in message for word in _SQLITE_DENIED):
        return f"no permission to write ({message}); make it writable or use another folder"
    return f"{message}; check the disk and try again"


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that a file is not what it wrote, rather than what the disk refuses."""
    return not any(word in str(error) for word in _SQLITE_DISK)


def _full(path: Path, what: str, needed_bytes: int) -> str:
    folder = next((p for p in (path, *path.parents) if p.is_dir()), Path())
    free_bytes = shutil.disk_usage(folder).free
    megabytes = max(1, -(-(needed_bytes - free_bytes) // 1_000_000))
    return f"{what}; free {megabytes} MB, or run 'edgecompress runs --prune'"


def atomic_write(path: Path, data: bytes) -> None:
    """Make `path` hold `data`: readers see the old content or all of the new, even after a kill.

    Raises:
        StorageError: disk full, read-only or missing folder; the old content is untouched.

    """
    with storage_errors(path, len(data)):
        publish(write_temp(path.parent, [data]), path)


def write_temp(folder: Path, chunks: Iterable[bytes]) -> Path:
    """Write to a new hidden file in `folder` and flush it to the disk; nothing stays on failure.

    Raises:
        OSError: as the file system says; wrap in storage_errors.

    """
    temp = folder / f".{os.getpid()}-{secrets.token_hex(6)}{TEMP_SUFFIX}"
    try:
        with temp.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    return temp


def publish(temp: Path, path: Path) -> None:
    """Give a finished temp file of the same file system its name; it is gone on failure.

    Raises:
        OSError: as the file system says; wrap in storage_errors.

    """
    try:
        temp.replace(path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    # The name itself is only on the disk once its folder is.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fault_of_file(path: Path) -> str | None:
    """What is there instead of a file; None where one is, or nothing.

    Raises:
        OSError: as the file system says; wrap in storage_errors.

    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link to nothing" if path.is_symlink() else None
    if stat.S_ISDIR(mode):
        return "is a folder, where a file is needed"
    # Opening a pipe would wait for its other end.
    return None if stat.S_ISREG(mode) else "is no file"


def read_whole(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ArtifactError: it cannot be read.

    """
    return b"".join(chunks_of(path))


def chunks_of(path: Path) -> Iterator[bytes]:
    """The content of a file, piece by piece.

    Raises:
        ArtifactError: it cannot be read.

    """
    try:
        fault = fault_of_file(path)
        if fault is not None:
            raise ArtifactError(f"{path}: cannot be read: {fault}")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None


def remove(path: Path, temp: Path) -> int:
    """Remove a file or folder so that no half of it is ever seen; returns bytes, 0 if not there.

    Args:
        path: What goes.
        temp: A folder on the same file system, where a kill may leave the rest of it.

    Raises:
        StorageError: it cannot be removed.

    """
    doomed = temp / f"{secrets.token_hex(6)}{TEMP_SUFFIX}"
    with storage_errors(path):
        try:
            path.replace(doomed)
        except FileNotFoundError:
            return 0
        if doomed.is_dir() and not doomed.is_symlink():
            size = sum(p.lstat().st_size for p in doomed.rglob("*") if not p.is_dir())
            shutil.rmtree(doomed)
        else:
            size = doomed.lstat().st_size
            doomed.unlink()
        return size


def take_lock(path: Path, *, shared: bool = False) -> int:
    """Wait for a lock on a file (flock), which the kernel releases when its holder dies.

    Args:
        path: The lock file; made when it is not there.
        shared: Together with other sharers; else alone.

    Returns:
        A handle for `release`.

    Raises:
        OSError: as the file system says; wrap in storage_errors.

    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while (handle := _lock(path, kind)) is None:
        pass
    return handle


def try_lock(path: Path) -> int | None:
    """Like take_lock, alone and without waiting: None when somebody else has it."""
    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _lock(path: Path, kind: int) -> int | None:
    """None when the last holder removed the file while we waited: it would exclude nobody."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, kind)
        if _is_open_at(path, handle):
            return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _is_open_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def release(handle: int) -> None:
    """Give back what take_lock gave."""
    # Closing alone would not do: a forked data-loader worker may still have the file open.
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
