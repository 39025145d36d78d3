"""The way to a device: run a command, put a file, get a file, each with a deadline."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

from edgecompress.errors import StorageError
from edgecompress.transport.files import Files
from edgecompress.transport.motion import Told

STDOUT_BYTES = 8 << 20
"""What a command may write: more ends it. A turn of 200,000 samples has half of that."""
STDERR_BYTES = 1 << 20
"""What is kept of a command's stderr: the last words."""
COPY_BYTES = 4 << 30
"""What a file may have that is fetched, where its size is not known better."""
STALL_S = 120.0
"""A copy of which nothing moves for so long is ended: a memory card that brings a large file to the
disk is silent for long."""
Moved = Callable[[str, int, int], None]
"""Told what is done ('sending', 'fetching'), with how many bytes, of how many; 0: not known."""


def silent(_: str, __: int, ___: int) -> None:
    """Nobody wants to know."""


def size_of(local: Path) -> int:
    """The size of a file here, in bytes; raises StorageError when it cannot be read."""
    try:
        return local.stat().st_size
    except OSError as error:
        raise StorageError(f"{local}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself."""

    returncode: int
    """Negative: the signal that ended it."""
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class FileStat:
    size_bytes: int


class Transport(ABC):
    """Paths on the device are strings, made by `path`.

    Every method raises DeviceError when the device cannot be reached or refuses, StorageError
    when a file cannot be written or read, and TimedOut when `timeout_s` has passed: of `put`, `get`
    and what `run` is given on stdin, since some of it moved last. A connection that was lost is a
    TransientError; the next call tries to open it again.
    """

    name: str
    """The place, for messages: 'this machine', 'pi@10.0.0.7'."""
    workdir: str
    """A folder on the device for models and arrays, emptied by whoever pushes or measures next."""
    cachedir: str
    """A folder on the device for what is worth keeping: the agent, tools, engines."""
    root: str
    """A folder on the device for what is pushed: see docs/devices.md."""
    files: Files
    """What a push is built from."""
    moved: Moved = staticmethod(silent)
    """Hears of what `put`, `get` and `run` move, about once a second while it lasts; perhaps in
    another thread."""
    notes: tuple[str, ...] = ()
    """What the user should know of how the device was reached, a line each."""

    def path(self, name: str) -> str:
        """Path on the device of the file `name` in the working folder."""
        return f"{self.workdir}/{name}"

    def cached(self, name: str) -> str:
        """Path on the device of the file `name` that is kept."""
        return f"{self.cachedir}/{name}"

    @abstractmethod
    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        """Run a program with these arguments, never through a shell, in the working folder.

        What it writes to stdout beyond STDOUT_BYTES ends it, and is a DeviceError; of its stderr
        the last STDERR_BYTES are kept. On time-out or interrupt, it and what it started are killed.
        """

    @abstractmethod
    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        """Copy a file to the device; it appears there whole or not at all."""

    def put_once(self, local: Path, remote: str, *, timeout_s: float) -> None:
        """`put`, unless it was: `remote` is named by the content."""
        there = self.stat(remote, timeout_s=timeout_s)
        if there is None or there.size_bytes != size_of(local):
            self.put(local, remote, timeout_s=timeout_s)

    @abstractmethod
    def get(
        self, remote: str, local: Path, *, timeout_s: float, limit_bytes: int = COPY_BYTES
    ) -> None:
        """Copy a file from the device; it appears here whole or not at all.

        One of more than `limit_bytes` is a DeviceError, and no more of it is taken.
        """

    @abstractmethod
    def stat(self, remote: str, *, timeout_s: float) -> FileStat | None:
        """None when there is no such file."""

    @abstractmethod
    def remove(self, remote: str, *, timeout_s: float) -> None:
        """Remove a file if it is there."""

    def _sending(self, total: int) -> Told:
        """Tells of bytes of a file or of stdin, until all are there."""

        def told(done: int) -> None:
            if done < total:
                self.moved("sending", done, total)

        return told

    def _fetching(self, done: int) -> None:
        self.moved("fetching", done, 0)

    @abstractmethod
    def close(self) -> None:
        """End the connection, if there is one. Never raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def too_large(what: str, limit_bytes: int) -> str:
    """Why no more of something is taken from a device."""
    return f"{what}: more than {limit_bytes:,} bytes come of it, and no more is taken"
