"""What is on a device; changes nothing there."""

from edgecompress.push.board import Board
from edgecompress.push.documents import DeviceStatus, History, Journal, ReleaseState
from edgecompress.push.layout import RELEASE_ID, InTheWay, problems
from edgecompress.push.lock import holder
from edgecompress.push.pointers import Name, is_whole, manifest_of, pointed, validation_of


def status(board: Board) -> DeviceStatus:
    """Raises DeviceError when the device cannot be reached."""
    return board.retried(lambda: _status(board))


def _status(board: Board) -> DeviceStatus:
    wrong = list(problems(board))
    current, previous = _pointed(board, "current", wrong), _pointed(board, "previous", wrong)
    entries = {} if wrong else board.files.entries(board.path("releases"))
    return DeviceStatus(
        device=board.device,
        current=current,
        previous=previous,
        releases=tuple(
            _release(board, name)
            for name, kind in entries.items()
            if kind == "folder" and RELEASE_ID.fullmatch(name)
        ),
        journal=None if wrong else board.document(Journal, "journal.json"),
        holder=None if wrong else holder(board),
        in_the_way=tuple(wrong),
    )


def _release(board: Board, name: str) -> ReleaseState:
    return ReleaseState(
        id=name,
        manifest=manifest_of(board, name),
        whole=is_whole(board, name),
        validated=validation_of(board, name),
    )


def _pointed(board: Board, name: Name, wrong: list[str]) -> str | None:
    try:
        return None if wrong else pointed(board, name)
    except InTheWay as error:
        wrong.append(str(error))
        return None


def history(board: Board) -> History:
    """Newest last. Raises DeviceError when the device cannot be reached."""
    return board.retried(lambda: board.document(History, "history.json")) or History()
