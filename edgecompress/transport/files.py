"""File operations on a device: the steps that a push is made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["file", "folder", "link", "other"]
"""What lies under a name; 'other' is a device node, a pipe or a socket."""
KINDS: tuple[Kind, ...] = get_args(Kind)
Sent = Callable[[int], None]
"""Called now and then with the bytes of a file that are on the device."""


class Files(ABC):
    """Paths are absolute and POSIX, `/`-separated.

    Methods raise StorageError when the device has no space, the file system is read-only or the
    path is forbidden; TransientError when the connection is lost; TimedOut when the device does not
    answer for too long; DeviceError for all other reasons. None of them promises more than it
    says: what must be whole or not at all is written under another name and renamed.

    A symbolic link in the last part of a path is never followed, nor is anything opened that is no
    plain file: `read`, `write`, `replace`, `append` and `sha256` refuse it.
    """

    symlinks: bool = True
    """Whether the file system there has symbolic links."""
    resumes: bool = True
    """Whether `append` can go on behind the bytes that are there."""

    @abstractmethod
    def size(self, remote: str) -> int | None:
        """In bytes; of a folder something; None when there is nothing.

        With a `/` at the end of `remote`: None, too, when it is no folder and no link to one.
        """

    @abstractmethod
    def entries(self, remote: str) -> Mapping[str, Kind]:
        """What a folder holds, sorted by name; nothing when there is no such folder.

        A link is none, but with a `/` at the end of `remote` it is followed.
        """

    def names(self, remote: str) -> tuple[str, ...]:
        """The names in a folder, sorted; none when there is no such folder."""
        return tuple(self.entries(remote))

    @abstractmethod
    def read(self, remote: str, limit_bytes: int) -> bytes | None:
        """The first `limit_bytes` of a file, which is all of a small one; None: there is none."""

    @abstractmethod
    def write(self, remote: str, content: bytes) -> None:
        """A small file, made or overwritten, and on the disk when this returns."""

    @abstractmethod
    def replace(self, remote: str, temporary: str, content: bytes) -> None:
        """A small file that is there whole or as it was, and on the disk when this returns.

        It is written as `temporary`, in the same folder, read back there, and renamed.

        Raises:
            TransientError: what was read is not what was sent; `remote` is what it was.

        """

    @abstractmethod
    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        """Write local[offset:] to remote at `offset`, and cut what lies behind.

        The file is made where `offset` is 0; else it has at least `offset` bytes. It is on the
        disk when this returns, and `sent` is called about once a second, perhaps in another thread.
        TimedOut when nothing of it moved for `timeout_s`.
        """

    @abstractmethod
    def sha256(self, remote: str, length: int | None = None, *, timeout_s: float) -> str | None:
        """In hex, of the first `length` bytes or all, computed on the device; None: no file."""

    @abstractmethod
    def make_folder(self, remote: str) -> bool:
        """In a folder that is there. False when it was there already; nobody else got True."""

    @abstractmethod
    def rename(self, source: str, target: str) -> None:
        """Atomically; a file or a link replaces a file or link of that name."""

    @abstractmethod
    def link(self, remote: str, target: str) -> None:
        """Make a symbolic link to `target` (relative to the link's folder)."""

    @abstractmethod
    def read_link(self, remote: str) -> str | None:
        """What a link points to; None when there is no link."""

    @abstractmethod
    def sync(self, remote: str) -> None:
        """Bring a file, or a folder's entries, to the disk."""

    @abstractmethod
    def unlink(self, remote: str) -> None:
        """Remove a file or a link; nothing when it is not there. A folder is refused."""

    @abstractmethod
    def remove(self, remote: str) -> None:
        """A file, a link, or a folder with all it holds; nothing when it is not there."""

    @abstractmethod
    def free_bytes(self, remote: str) -> int:
        """What may still be written where `remote` lies."""
