"""A transport that fails on purpose: for rehearsals and tests of what must survive it.

    transport = FaultyTransport(LocalTransport(folder), Faults(seed=7, rate=0.02))

Nothing of it is ever chosen by an inventory: it is wrapped round another transport by hand.
"""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from edgecompress.errors import EdgecompressError, StorageError, TransientError
from edgecompress.transport.base import COPY_BYTES, Completed, FileStat, Transport
from edgecompress.transport.files import Files, Kind, Sent

T = TypeVar("T")
Fault = Literal[
    "drop", "lost_reply", "duplicate", "delay", "truncate", "flip", "no_space", "read_only",
    "permission",
]  # fmt: skip
"""The request or its answer is lost; it is carried out twice; it comes late; what is written is
cut, or has one bit changed, and nobody is told; it is refused.
"""
FAULTS: tuple[Fault, ...] = get_args(Fault)
REFUSALS: dict[Fault, str] = {
    "no_space": "No space left on device",
    "read_only": "Read-only file system",
    "permission": "Permission denied",
}


@dataclass
class Faults:
    """Decides, operation by operation, what goes wrong; equal seeds decide alike."""

    seed: int
    rate: float
    """Share of the operations that have a fault."""
    kinds: tuple[Fault, ...] = FAULTS
    limit: int | None = None
    """No more than so many; None: as they come."""
    happened: list[tuple[int, str, Fault]] = field(default_factory=list)
    """Number of the operation, its name, its fault."""
    operations: int = 0
    delay: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - to be repeated, not to be secret

    def next(self, operation: str) -> Fault | None:
        self.operations += 1
        if self.limit is not None and len(self.happened) >= self.limit:
            return None
        if self.random.random() >= self.rate:
            return None
        fault = self.random.choice(self.kinds)
        self.happened.append((self.operations, operation, fault))
        return fault

    def damaged(self, content: bytes, fault: Fault | None) -> bytes:
        """What arrives of what is sent."""
        if not content:
            return content
        at = self.random.randrange(len(content))
        if fault == "truncate":
            return content[:at]
        if fault == "flip":
            changed = content[at] ^ (1 << self.random.randrange(8))
            return content[:at] + bytes([changed]) + content[at + 1 :]
        return content

    def around(self, operation: str, work: Callable[[], T]) -> T:
        """Do the work, as far as its fault lets it."""
        return self.apply(operation, work, self.next(operation))

    def apply(self, operation: str, work: Callable[[], T], fault: Fault | None) -> T:
        if fault == "drop":
            raise TransientError(f"injected: {operation}: connection lost")
        if fault in REFUSALS:
            raise StorageError(f"injected: {operation}: {REFUSALS[fault]}")
        if fault == "delay":
            self.delay()
        result = work()
        if fault == "duplicate":
            result = _again(work, result)
        if fault == "lost_reply":
            raise TransientError(f"injected: {operation}: connection lost after it was done")
        return result


def _again(work: Callable[[], T], result: T) -> T:
    """The second answer, unless it is an error, which a lost duplicate's would not reach us."""
    try:
        return work()
    except EdgecompressError:
        return result


class FaultyFiles(Files):
    def __init__(self, inner: Files, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.symlinks = inner.symlinks
        self.resumes = inner.resumes

    def size(self, remote: str) -> int | None:
        return self.faults.around("size", lambda: self.inner.size(remote))

    def entries(self, remote: str) -> Mapping[str, Kind]:
        return self.faults.around("entries", lambda: self.inner.entries(remote))

    def read(self, remote: str, limit_bytes: int) -> bytes | None:
        return self.faults.around("read", lambda: self.inner.read(remote, limit_bytes))

    def write(self, remote: str, content: bytes) -> None:
        fault = self.faults.next("write")
        arrives = self.faults.damaged(content, fault)
        self.faults.apply("write", lambda: self.inner.write(remote, arrives), fault)

    def replace(self, remote: str, temporary: str, content: bytes) -> None:
        fault = self.faults.next("replace")
        if self.faults.damaged(content, fault) != content:
            # It would be noticed there.
            raise TransientError(f"injected: replace: {remote} was not written as it was sent")
        self.faults.apply("replace", lambda: self.inner.replace(remote, temporary, content), fault)

    def append(
        self, local: Path, remote: str, offset: int, *, timeout_s: float, sent: Sent
    ) -> None:
        fault = self.faults.next("append")
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
            arrives = local
            if fault in ("truncate", "flip"):
                content = local.read_bytes()
                arrives = Path(folder) / local.name
                arrives.write_bytes(content[:offset] + self.faults.damaged(content[offset:], fault))
            self.faults.apply(
                "append",
                lambda: self.inner.append(arrives, remote, offset, timeout_s=timeout_s, sent=sent),
                fault,
            )

    def sha256(self, remote: str, length: int | None = None, *, timeout_s: float) -> str | None:
        return self.faults.around(
            "sha256", lambda: self.inner.sha256(remote, length, timeout_s=timeout_s)
        )

    def make_folder(self, remote: str) -> bool:
        return self.faults.around("make_folder", lambda: self.inner.make_folder(remote))

    def rename(self, source: str, target: str) -> None:
        self.faults.around("rename", lambda: self.inner.rename(source, target))

    def link(self, remote: str, target: str) -> None:
        self.faults.around("link", lambda: self.inner.link(remote, target))

    def read_link(self, remote: str) -> str | None:
        return self.faults.around("read_link", lambda: self.inner.read_link(remote))

    def sync(self, remote: str) -> None:
        self.faults.around("sync", lambda: self.inner.sync(remote))

    def unlink(self, remote: str) -> None:
        self.faults.around("unlink", lambda: self.inner.unlink(remote))

    def remove(self, remote: str) -> None:
        self.faults.around("remove", lambda: self.inner.remove(remote))

    def free_bytes(self, remote: str) -> int:
        return self.faults.around("free_bytes", lambda: self.inner.free_bytes(remote))


class FaultyTransport(Transport):
    """Another transport, with faults."""

    def __init__(self, inner: Transport, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.name = inner.name
        self.workdir = inner.workdir
        self.cachedir = inner.cachedir
        self.root = inner.root
        self.files = FaultyFiles(inner.files, faults)

    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        return self.faults.around("run", lambda: self.inner.run(argv, stdin, timeout_s=timeout_s))

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        self.faults.around("put", lambda: self.inner.put(local, remote, timeout_s=timeout_s))

    def get(
        self, remote: str, local: Path, *, timeout_s: float, limit_bytes: int = COPY_BYTES
    ) -> None:
        self.faults.around(
            "get",
            lambda: self.inner.get(remote, local, timeout_s=timeout_s, limit_bytes=limit_bytes),
        )

    def stat(self, remote: str, *, timeout_s: float) -> FileStat | None:
        return self.faults.around("stat", lambda: self.inner.stat(remote, timeout_s=timeout_s))

    def remove(self, remote: str, *, timeout_s: float) -> None:
        self.faults.around("remove", lambda: self.inner.remove(remote, timeout_s=timeout_s))

    def close(self) -> None:
        self.inner.close()
