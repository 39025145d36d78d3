"""What is on a device; changes nothing there."""

from collections.abc import Callable
from typing import TypeVar

from edgecompress.errors import DeviceError, TimedOut, TransientError
from edgecompress.push.board import Board
from edgecompress.push.documents import DeviceStatus, History, Journal, ReleaseState
from edgecompress.push.layout import RELEASE_ID, InTheWay, problems
from edgecompress.push.lock import holder
from edgecompress.push.pointers import is_whole, manifest_of, pointed, validation_of

T = TypeVar("T")


def status(board: Board) -> DeviceStatus:
    """Raises DeviceError when the device cannot be reached."""
    return board.retried(lambda: _status(board))


def _status(board: Board) -> DeviceStatus:
    wrong = list(problems(board))

    def told(work: Callable[[], T], otherwise: T) -> T:
        """What can be read; else why not, once, since one thing in the way hides what is behind."""
        try:
            return otherwise if wrong else work()
        except (TransientError, TimedOut):
            raise
        except (InTheWay, DeviceError) as error:
            wrong.append(str(error))
            return otherwise

    return DeviceStatus(
        device=board.device,
        current=told(lambda: pointed(board, "current"), None),
        previous=told(lambda: pointed(board, "previous"), None),
        releases=told(lambda: _releases(board), ()),
        journal=told(lambda: board.document(Journal, "journal.json"), None),
        holder=told(lambda: holder(board), None),
        in_the_way=tuple(wrong),
    )


def _releases(board: Board) -> tuple[ReleaseState, ...]:
    entries = board.files.entries(board.path("releases"))
    return tuple(
        _release(board, name)
        for name, kind in entries.items()
        if kind == "folder" and RELEASE_ID.fullmatch(name)
    )


def _release(board: Board, name: str) -> ReleaseState:
    return ReleaseState(
        id=name,
        manifest=manifest_of(board, name),
        whole=is_whole(board, name),
        validated=validation_of(board, name),
    )


def history(board: Board) -> History:
    """Newest last. Raises DeviceError when the device cannot be reached."""
    return board.retried(lambda: board.document(History, "history.json")) or History()
