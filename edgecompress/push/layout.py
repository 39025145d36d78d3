"""What lies in a device's folder, and what of it is ours to make, overwrite or remove.

A push touches only what a push makes, by its name and its kind. Whatever else lies in the place of
one of these is named and left as it is, and a symbolic link is never followed.
"""

import re
from contextlib import suppress
from pathlib import PurePosixPath

from edgecompress.errors import DeviceError, StorageError
from edgecompress.push.board import TEMPORARY, Board
from edgecompress.push.documents import LABELS
from edgecompress.transport.files import Kind

FOLDERS = ("releases", "incoming", "locks")
DOCUMENTS = ("journal.json", "history.json", "device.json")
POINTERS = ("current", "previous")
MANIFEST = "manifest.json"
VALIDATION = "validation.json"
OWNER = "owner.json"

RELEASE_ID = re.compile(r"[0-9a-f]{16}")
_LEFT = re.compile(re.escape(TEMPORARY) + r"[0-9a-f]{16}")
_PART = re.compile(r"[0-9a-f]{64}\.part")
_IN_RELEASE = re.compile(
    rf"model\.[a-z0-9]+|{'|'.join(map(re.escape, (MANIFEST, VALIDATION, LABELS)))}|{_LEFT.pattern}"
)
_IN_LOCK = re.compile(rf"{re.escape(OWNER)}|{_LEFT.pattern}")
_WORDS: dict[Kind, str] = {
    "file": "a file",
    "folder": "a folder",
    "link": "a symbolic link",
    "other": "no plain file",
}


class InTheWay(StorageError):
    """Something that no push made lies where a push must write."""


def in_the_way(board: Board, path: str, what: str) -> InTheWay:
    return InTheWay(f"{board.name}: {path} is {what}, which no push made; move or remove it")


def need(board: Board, path: str, kind: Kind | None, wanted: Kind) -> bool:
    """Whether something is there.

    Raises:
        InTheWay: it is of another kind.

    """
    if kind not in (None, wanted):
        raise in_the_way(board, path, f"{_WORDS[kind]} in the place of {_WORDS[wanted]} of ours")
    return kind is not None


def make_folders(board: Board) -> None:
    """Make what is missing of the folders, and look at all that a push may overwrite.

    Raises:
        InTheWay: something else lies in its place; nothing was changed.

    """
    files, root = board.files, board.path()
    # With the `/` only folders have a size, and links to them: the user's root may be one.
    places = (root, *map(str, PurePosixPath(root).parents))
    for folder in reversed([place for place in places if files.size(f"{place}/") is None]):
        if not files.make_folder(folder) and files.size(f"{folder}/") is None:
            raise in_the_way(board, folder, "neither a folder nor a link to one")
    present = _looked_at(board)
    for name in FOLDERS:
        if name not in present:
            files.make_folder(board.path(name))
    if not present.issuperset(FOLDERS):
        # The root may be new too, made here or where the device was connected; without this a power
        # cut could take it as a whole, and what was active in it.
        for place in places:
            with suppress(DeviceError, StorageError):  # Of a folder that we may not open.
                files.sync(place)


def _looked_at(board: Board) -> set[str]:
    """Names in the root that are what they should be."""
    entries = board.files.entries(f"{board.path()}/")
    return {
        name
        for name, kind in _wanted(board).items()
        if need(board, board.path(name), entries.get(name), kind)
    }


def _wanted(board: Board) -> dict[str, Kind]:
    wanted: dict[str, Kind] = dict.fromkeys(FOLDERS, "folder")
    wanted |= dict.fromkeys(DOCUMENTS, "file")
    wanted |= dict.fromkeys(POINTERS, "link" if board.files.symlinks else "file")
    for folder in (board.transport.workdir, board.transport.cachedir):
        if PurePosixPath(folder).parent == PurePosixPath(board.path()):
            wanted[PurePosixPath(folder).name] = "folder"
    return wanted


def problems(board: Board) -> tuple[str, ...]:
    """What would stop a push, a line each; changes nothing."""
    entries = board.files.entries(f"{board.path()}/")
    lines = []
    for name, kind in _wanted(board).items():
        try:
            need(board, board.path(name), entries.get(name), kind)
        except InTheWay as error:
            lines.append(str(error))
    return tuple(lines)


def release_entries(board: Board, release: str) -> dict[str, Kind]:
    """What the folder of a release holds; nothing where that is no folder."""
    if RELEASE_ID.fullmatch(release) is None:
        return {}
    return dict(board.files.entries(board.path("releases", release)))


def clean_up(board: Board, keep: str) -> None:
    """Remove what interrupted pushes left, but the upload `keep`."""
    for name, kind in board.files.entries(f"{board.path()}/").items():
        if kind in ("file", "link") and _LEFT.fullmatch(name):
            board.files.unlink(board.path(name))
    for name, kind in board.files.entries(board.path("releases")).items():
        if kind == "folder" and _LEFT.fullmatch(name):
            _remove_ours(board, board.path("releases", name), _IN_RELEASE)
    for name, kind in board.files.entries(board.path("incoming")).items():
        if kind == "file" and name != keep and _PART.fullmatch(name):
            board.files.unlink(board.path("incoming", name))


def clean_releases(board: Board) -> None:
    """Remove temporary files in releases, which a push leaves there that is killed as it mends."""
    for release, kind in board.files.entries(board.path("releases")).items():
        if kind == "folder" and RELEASE_ID.fullmatch(release):
            for name, inner in board.files.entries(board.path("releases", release)).items():
                if inner == "file" and _LEFT.fullmatch(name):
                    board.files.unlink(board.path("releases", release, name))


def remove_releases(board: Board, needed: set[str | None]) -> None:
    """Remove the releases that nobody needs, but none that holds anything of somebody else."""
    for name, kind in board.files.entries(board.path("releases")).items():
        if kind == "folder" and name not in needed and RELEASE_ID.fullmatch(name):
            _remove_ours(board, board.path("releases", name), _IN_RELEASE)


def remove_lock(board: Board, number: int) -> None:
    _remove_ours(board, board.path("locks", str(number)), _IN_LOCK)


def _remove_ours(board: Board, folder: str, ours: re.Pattern[str]) -> None:
    """A folder of which every entry is a file that a push makes."""
    entries = board.files.entries(folder)
    if all(kind == "file" and ours.fullmatch(name) for name, kind in entries.items()):
        board.files.remove(folder)


def clear_work(board: Board) -> None:
    """Remove what lies in the working folder; only who holds the lock may."""
    workdir = board.transport.workdir
    for name in board.files.entries(workdir):
        board.files.remove(f"{workdir}/{name}")
