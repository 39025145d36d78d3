"""From a file here to a whole release on the device."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgecompress.artifact import sha256_of
from edgecompress.errors import ArtifactError, DeviceError, StorageError, TransientError
from edgecompress.push.board import Board
from edgecompress.push.documents import DOCUMENT_BYTES, LABELS, Manifest
from edgecompress.push.layout import MANIFEST, VALIDATION, need, release_entries
from edgecompress.push.lock import Lock
from edgecompress.push.pointers import HASH_S, is_whole, manifest_of
from edgecompress.transport.base import STALL_S

RESERVE_BYTES = 16 << 20
"""Stays free on the device: manifests, the journal, and whoever else lives there."""
FURTHER_BYTES = 256 << 10
"""Who gets so much further before the connection is lost again has all tries anew."""
CHUNK_BYTES = 1 << 20
LABELS_BYTES = 8 << 20
"""A list of labels that is longer is not one."""


@dataclass
class Upload:
    """The upload of one model to one device."""

    board: Board
    lock: Lock
    model: Path
    manifest: Manifest
    progress: Callable[[int], None]
    """Told how many bytes of the model are there."""
    sent_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._reached = 0
        """The most bytes that were there at any time."""
        self._fresh = self.board.temporary(self.board.path("releases"))

    @property
    def part(self) -> str:
        return f"{self.manifest.sha256}.part"

    def run(self) -> None:
        """Make the release, or mend it; nothing is sent that is there already.

        Raises:
            StorageError: the device has no room, or its folder cannot be written.
            DeviceError: what arrives there is not what was sent, twice; or the way to it.
            ArtifactError: the file here is not the one described, or its description is too long.
            InTheWay: something else lies where it goes.

        """
        self._check_description()
        self.board.retried(self._check_place)
        if self.board.retried(self._is_there):
            return
        self.board.retried(self._check_space)
        for _ in range(2):
            # For as long as the file grows there, others see that we live.
            self.lock.renew(HASH_S)
            with ThreadPoolExecutor(1) as beside:
                here = beside.submit(self._check_here)
                self._send_all()
                here.result()
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

    def _check_here(self) -> None:
        """Read all of it, which takes about as long as sending does on a fast network."""
        if sha256_of(self.model) != self.manifest.sha256:
            raise ArtifactError(f"{self.model}: has changed since it was described; deploy again")

    def _check_description(self) -> None:
        content, labels = self.manifest.stored()
        what = f"{self.board.name}: {self.model.name}"
        if len(content) > DOCUMENT_BYTES:
            raise ArtifactError(
                f"{what}: the names and shapes of its inputs and outputs take {len(content)} bytes,"
                f" and a manifest has {DOCUMENT_BYTES}; give the model fewer or shorter names"
            )
        if len(labels) > LABELS_BYTES:
            raise ArtifactError(
                f"{what}: its labels take {len(labels)} bytes, and a device takes {LABELS_BYTES};"
                " give the task shorter ones"
            )

    def _check_place(self) -> None:
        """Raises InTheWay when what lies in our place is of another kind than what goes there."""
        board, release = self.board, self.manifest.id
        found = board.files.entries(board.path("incoming")).get(self.part)
        need(board, self._path(), found, "file")
        found = board.files.entries(board.path("releases")).get(release)
        if need(board, board.path("releases", release), found, "folder"):
            entries = release_entries(board, release)
            for name in (MANIFEST, LABELS, VALIDATION, self.manifest.file):
                need(board, board.path("releases", release, name), entries.get(name), "file")

    def _check_space(self) -> None:
        there = self._there()
        needed = max(self.manifest.size_bytes - there, 0) + RESERVE_BYTES
        free = self.board.files.free_bytes(self.board.path())
        if free < needed:
            raise StorageError(
                f"{self.board.name}: {free >> 20} MiB free below {self.board.path()}, and"
                f" {needed >> 20} MiB needed; make room there"
            )

    def _send_all(self) -> None:
        """On a slow link one try takes longer than all of them may elsewhere."""
        while True:
            before = self._reached
            try:
                self.board.retried(self._send)
            except TransientError:
                if self._reached < before + FURTHER_BYTES:
                    raise
            else:
                return

    def _send(self) -> None:
        files, size = self.board.files, self.manifest.size_bytes
        offset = self._resumed()
        if offset < size or size == 0:
            files.append(self.model, self._path(), offset, timeout_s=STALL_S, sent=self._tell)
            self.sent_bytes += size - offset

    def _tell(self, there: int) -> None:
        self._reached = max(self._reached, there)
        self.progress(there)

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
        folder = board.path("releases", manifest.id)
        content, labels = manifest.stored()
        self.lock.check()
        if board.files.size(folder) is None:
            fresh = self._fresh
            board.files.make_folder(fresh)
            board.files.write(f"{fresh}/{MANIFEST}", content)
            if labels:
                board.files.write(f"{fresh}/{LABELS}", labels)
            # It is there already when the answer to the first try was lost.
            if board.files.size(self._path()) is not None:
                board.files.rename(self._path(), f"{fresh}/{manifest.file}")
            board.files.sync(fresh)
            board.files.rename(fresh, folder)
            board.files.sync(board.path("releases"))
        else:
            if board.files.size(self._path()) is not None:
                board.files.rename(self._path(), f"{folder}/{manifest.file}")
            if labels:
                board.replace(f"releases/{manifest.id}/{LABELS}", labels)
            board.replace(f"releases/{manifest.id}/{MANIFEST}", content)
        # On a FAT card both names could be left, of one content; whoever removed the old one there
        # would take the model with it.
        board.files.sync(board.path("incoming"))
        # Not hashed again: that was done where it arrived, and is done when it is active.
        there = board.files.size(f"{folder}/{manifest.file}")
        if manifest_of(board, manifest.id) is None or there != manifest.size_bytes:
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
