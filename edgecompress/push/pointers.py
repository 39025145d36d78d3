"""`current` and `previous`: which release an application opens, and which one before."""

from collections.abc import Mapping
from typing import Literal

from edgecompress.push.board import Board
from edgecompress.push.documents import Identity, Manifest, ValidationRecord
from edgecompress.push.layout import (
    MANIFEST,
    RELEASE_ID,
    VALIDATION,
    in_the_way,
    release_entries,
)
from edgecompress.transport.files import Kind

Name = Literal["current", "previous"]
POINTER_BYTES = 64
HASH_S = 600.0
"""A slow card hashes 10 MB a second, and models may have gigabytes."""


def pointed(board: Board, name: Name) -> str | None:
    """Id of the release that it names, whether that is there or not; None when it names none.

    Raises:
        InTheWay: it names anything else, so it is not ours.

    """
    path = board.path(name)
    if board.files.symlinks:
        target = board.files.read_link(path)
        folder, _, release = (target or "").rpartition("/")
        if target is None:
            return None
        if folder != "releases" or RELEASE_ID.fullmatch(release) is None:
            raise in_the_way(board, path, f"a link to {target}")
        return release
    content = board.files.read(path, POINTER_BYTES)
    if not content:
        return None
    release = content.decode("ascii", errors="replace").strip()
    if RELEASE_ID.fullmatch(release) is None:
        raise in_the_way(board, path, f"a file that holds {release!r}")
    return release


def point(board: Board, name: Name, release: str | None) -> None:
    """Move a pointer atomically, from one whole release to another; None: to none."""
    if pointed(board, name) == release:
        return
    if release is None:
        board.files.unlink(board.path(name))
        board.files.sync(board.path())
    elif not board.files.symlinks:
        board.replace(name, release.encode())
    else:
        temporary = board.temporary(board.path())
        board.files.link(temporary, f"releases/{release}")
        board.files.rename(temporary, board.path(name))
        board.files.sync(board.path())


def manifest_of(board: Board, release: str) -> Manifest | None:
    """The manifest of a release; None when there is none, or it is not the one of that id."""
    return _manifest(board, release, release_entries(board, release))


def is_whole(board: Board, release: str) -> bool:
    """Whether its files are, byte for byte, what its id says; read on the device."""
    kinds = release_entries(board, release)
    manifest = _manifest(board, release, kinds)
    if manifest is None:
        return False
    wanted = {manifest.file: manifest.sha256}
    if manifest.labels_file is not None:
        wanted[manifest.labels_file.file] = manifest.labels_file.sha256
    return all(
        kinds.get(name) == "file"
        and board.files.sha256(board.path("releases", release, name), timeout_s=HASH_S) == sha256
        for name, sha256 in wanted.items()
    )


def validation_of(board: Board, release: str) -> ValidationRecord | None:
    """The record that this very device validated this very release; None where there is none."""
    kinds = release_entries(board, release)
    if kinds.get(VALIDATION) != "file":
        return None
    record = board.document(ValidationRecord, f"releases/{release}/{VALIDATION}")
    if record is None or record.release != release:
        return None
    manifest, identity = _manifest(board, release, kinds), board.document(Identity, "device.json")
    if manifest is None or identity is None:
        return None
    return record if (record.sha256, record.device) == (manifest.sha256, identity.id) else None


def _manifest(board: Board, release: str, kinds: Mapping[str, Kind]) -> Manifest | None:
    if kinds.get(MANIFEST) != "file":
        return None
    manifest = board.document(Manifest, f"releases/{release}/{MANIFEST}")
    return manifest if manifest is not None and manifest.id == release else None
