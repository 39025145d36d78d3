"""From a file here to a whole release on the device."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgecompress.artifact import sha256_of
from edgecompress.errors import ArtifactError, DeviceError, StorageError
from edgecompress.push.board import Board
from edgecompress.push.documents import Manifest
from edgecompress.push.lock import Lock
from edgecompress.push.pointers import HASH_S, MANIFEST, is_whole

RESERVE_BYTES = 16 << 20
"""Stays free on the device: manifests, the journal, and whoever else lives there."""
SLOWEST_BYTES_PER_S = 100_000.0
"""A link that is slower than this is one that hangs."""
CHUNK_BYTES = 1 << 20


@dataclass
class Upload:
    """One model on its way to one device."""

    board: Board
    lock: Lock
    model: Path
    manifest: Manifest
    progress: Callable[[int], None]
    """Told how many bytes of the model are there."""
    sent_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._fresh = self.board.temporary(self.board.path("releases"))

    @property
    def part(self) -> str:
        return f"{self.manifest.sha256}.part"

    def run(self) -> None:
        """Make the release, or mend it; nothing is sent that is there already.

        Raises:
            StorageError: the device has no room, or its folder cannot be written.
            DeviceError: what arrives there is not what was sent, twice; or the way to it.
            ArtifactError: the file here is not the one described.

        """
        if sha256_of(self.model) != self.manifest.sha256:
            raise ArtifactError(f"{self.model}: has changed since it was described; deploy again")
        if self.board.retried(self._is_there):
            return
        self.board.retried(self._check_space)
        for _ in range(2):
            self.lock.renew(max(HASH_S, self.manifest.size_bytes / SLOWEST_BYTES_PER_S))
            self.board.retried(self._send)
            if self.board.retried(self._arrived):
                break
            # Not resumed: nothing says which of its bytes are wrong.
            self.board.retried(lambda: self.board.files.remove(self._path()))
        else:
            raise DeviceError(
                f"{self.board.name}: {self.model.name} arrived damaged, twice; check its memory,"
                " its card and the way to it"
            )
        self.lock.renew()
        self.board.retried(self._install)

    def _path(self) -> str:
        return self.board.path("incoming", self.part)

    def _there(self) -> int:
        """Bytes of an earlier try, right or not."""
        size = self.board.files.size(self._path())
        return 0 if size is None else size

    def _is_there(self) -> bool:
        return is_whole(self.board, self.manifest.id)

    def _check_space(self) -> None:
        there = self._there()
        needed = max(self.manifest.size_bytes - there, 0) + RESERVE_BYTES
        free = self.board.files.free_bytes(self.board.path())
        if free < needed:
            raise StorageError(
                f"{self.board.name}: {free >> 20} MiB free below {self.board.path()}, and"
                f" {needed >> 20} MiB needed; make room there"
            )

    def _send(self) -> None:
        files, size = self.board.files, self.manifest.size_bytes
        offset = self._resumed()
        if offset < size or size == 0:
            timeout_s = max(60.0, (size - offset) / SLOWEST_BYTES_PER_S)
            files.append(self.model, self._path(), offset, timeout_s=timeout_s, sent=self.progress)
            self.sent_bytes += size - offset

    def _resumed(self) -> int:
        """How many bytes of an earlier try are there and right."""
        files = self.board.files
        there = self._there() if files.resumes else 0
        if not 0 < there <= self.manifest.size_bytes:
            return 0
        same = files.sha256(self._path(), timeout_s=HASH_S) == _sha256(self.model, there)
        return there if same else 0

    def _arrived(self) -> bool:
        return self.board.files.sha256(self._path(), timeout_s=HASH_S) == self.manifest.sha256

    def _install(self) -> None:
        """Give the upload its place: a new folder at once, or file by file in a damaged one."""
        board, manifest = self.board, self.manifest
        if self._is_there():
            return
        folder, content = board.path("releases", manifest.id), manifest.model_dump_json().encode()
        self.lock.check()
        if board.files.size(folder) is None:
            fresh = self._fresh
            board.files.make_folder(fresh)
            board.files.write(f"{fresh}/{MANIFEST}", content)
            # It is there already when the answer to the first try was lost.
            if board.files.size(self._path()) is not None:
                board.files.rename(self._path(), f"{fresh}/{manifest.file}")
            board.files.sync(fresh)
            board.files.rename(fresh, folder)
            board.files.sync(board.path("releases"))
        else:
            if board.files.size(self._path()) is not None:
                board.files.rename(self._path(), f"{folder}/{manifest.file}")
            board.replace(f"releases/{manifest.id}/{MANIFEST}", content)
        if not self._is_there():
            raise DeviceError(
                f"{board.name}: release {manifest.id} cannot be read back as it was written;"
                " check its card; push again"
            )


def _sha256(file: Path, length: int) -> str:
    digest, left = hashlib.sha256(), length
    with file.open("rb") as reader:
        while chunk := reader.read(min(CHUNK_BYTES, left)):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
