"""`current` and `previous`: which release an application opens, and which one before."""

from typing import Literal

from edgecompress.push.board import Board
from edgecompress.push.documents import Manifest

Name = Literal["current", "previous"]
ID_BYTES = 64
MANIFEST = "manifest.json"
HASH_S = 600.0
"""A slow card hashes 10 MB a second, and models may have gigabytes."""


def pointed(board: Board, name: Name) -> str | None:
    """Id of the release that it names; None when it names none."""
    if board.files.symlinks:
        target = board.files.read_link(board.path(name))
        return target.rpartition("/")[2] if target else None
    content = board.files.read(board.path(name), ID_BYTES)
    return content.decode("ascii", errors="replace").strip() if content else None


def point(board: Board, name: Name, release: str | None) -> None:
    """Atomically, from one whole release to another; None: to none."""
    if release is None:
        board.files.remove(board.path(name))
        board.files.sync(board.path())
    elif not board.files.symlinks:
        board.replace(name, release.encode())
    elif pointed(board, name) != release:
        temporary = board.temporary(board.path())
        board.files.link(temporary, f"releases/{release}")
        board.files.rename(temporary, board.path(name))
        board.files.sync(board.path())


def manifest_of(board: Board, release: str) -> Manifest | None:
    """None when there is no such release, or its manifest is not the one that its id is of."""
    manifest = board.document(Manifest, f"releases/{release}/{MANIFEST}")
    return manifest if manifest is not None and manifest.id == release else None


def is_whole(board: Board, release: str) -> bool:
    """Whether its model is, byte for byte, what its id says; read on the device."""
    manifest = manifest_of(board, release)
    if manifest is None:
        return False
    model = board.path("releases", release, manifest.file)
    return board.files.sha256(model, timeout_s=HASH_S) == manifest.sha256
