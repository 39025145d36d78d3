"""Files of the machine we run on."""

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edgecompress.errors import DeviceError, StorageError, TimedOut, TransientError
from edgecompress.transport.files import Files, Kind, Sent
from edgecompress.transport.motion import Motion, stalled

CHUNK_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)
LINK = "is a symbolic link, which is not followed"
OVERWRITE = os.O_RDWR | os.O_CREAT | os.O_TRUNC


class LocalFiles(Files):
    def size(self, remote: str) -> int | None:
        with explained(remote):
            try:
                # Not by Path, which drops a `/` at the end.
                return os.stat(remote).st_size  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                return None

    def entries(self, remote: str) -> Mapping[str, Kind]:
        with explained(remote):
            if not remote.endswith("/") and Path(remote).is_symlink():
                return {}
            try:
                with os.scandir(remote) as found:
                    return {entry.name: _kind(entry) for entry in sorted(found, key=_name)}
            except (FileNotFoundError, NotADirectoryError):
                return {}

    def read(self, remote: str, limit_bytes: int) -> bytes | None:
        with explained(remote):
            try:
                with _opened(remote, os.O_RDONLY, "rb") as reader:
                    return bytes(reader.read(limit_bytes))
            except FileNotFoundError:
                return None

    def write(self, remote: str, content: bytes) -> None:
        with explained(remote), _opened(remote, OVERWRITE, "wb") as writer:
            writer.write(content)
            writer.flush()
            os.fsync(writer.fileno())

    def replace(self, remote: str, temporary: str, content: bytes) -> None:
        self.write(temporary, content)
        if self.read(temporary, len(content) + 1) != content:
            self.unlink(temporary)
            raise damaged(remote)
        self.rename(temporary, remote)
        self.sync(str(Path(remote).parent))

    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        motion = Motion(timeout_s, stalled(remote, timeout_s), sent, start=offset)
        with explained(remote), local.open("rb") as reader:
            reader.seek(offset)
            with _opened(remote, os.O_RDWR if offset else OVERWRITE, "r+b") as writer:
                writer.seek(offset)
                writer.truncate()
                while chunk := reader.read(CHUNK_BYTES):
                    if motion.left_s() <= 0:
                        raise motion.late()
                    writer.write(chunk)
                    motion.at(writer.tell())
                writer.flush()
                os.fsync(writer.fileno())

    def sha256(self, remote: str, length: int | None = None, *, timeout_s: float) -> str | None:
        digest, deadline = hashlib.sha256(), time.monotonic() + timeout_s
        with explained(remote):
            try:
                with _opened(remote, os.O_RDONLY, "rb") as reader:
                    left = os.fstat(reader.fileno()).st_size if length is None else length
                    while chunk := reader.read(min(CHUNK_BYTES, left)):
                        if time.monotonic() > deadline:
                            raise TimedOut(f"{remote}: hashing took longer than {timeout_s:g} s")
                        digest.update(chunk)
                        left -= len(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    def make_folder(self, remote: str) -> bool:
        with explained(remote):
            try:
                Path(remote).mkdir()
            except FileExistsError:
                return False
            return True

    def rename(self, source: str, target: str) -> None:
        with explained(source):
            Path(source).replace(target)

    def link(self, remote: str, target: str) -> None:
        with explained(remote):
            Path(remote).symlink_to(target)

    def read_link(self, remote: str) -> str | None:
        with explained(remote):
            try:
                return str(Path(remote).readlink())
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINVAL):
                    return None
                raise

    def sync(self, remote: str) -> None:
        with explained(remote):
            descriptor = os.open(remote, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def unlink(self, remote: str) -> None:
        with explained(remote):
            Path(remote).unlink(missing_ok=True)

    def remove(self, remote: str) -> None:
        with explained(remote):
            try:
                if Path(remote).is_dir() and not Path(remote).is_symlink():
                    shutil.rmtree(remote)
                else:
                    Path(remote).unlink()
            except FileNotFoundError:
                pass

    def free_bytes(self, remote: str) -> int:
        with explained(remote):
            return shutil.disk_usage(remote).free


def _opened(remote: str, flags: int, mode: str) -> IO[Any]:
    """A plain file. What is none is neither followed nor waited for: a pipe would block."""
    try:
        descriptor = os.open(remote, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, LINK, remote) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file", remote)
    return os.fdopen(descriptor, mode)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_dir():
        return "folder"
    return "file" if entry.is_file() else "other"


def damaged(remote: str) -> TransientError:
    return TransientError(f"{remote}: was not written as it was sent")


@contextmanager
def explained(remote: str) -> Iterator[None]:
    """What the operating system refuses of `remote`, in one line.

    Raises:
        StorageError: no space, read-only, forbidden.
        DeviceError: all else.

    """
    try:
        yield
    except OSError as error:
        said = f"{error.filename or remote}: {error.strerror or error}"
        if error.errno in FULL:
            raise StorageError(f"{said}; make room there") from None
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(f"{said}; that folder must be writable") from None
        raise DeviceError(said) from None
