"""What is on a device; changes nothing there."""

from edgecompress.push.board import Board
from edgecompress.push.documents import DeviceStatus, History, Journal, ReleaseState
from edgecompress.push.lock import holder
from edgecompress.push.pointers import is_whole, manifest_of, pointed


def status(board: Board) -> DeviceStatus:
    """Raises DeviceError when the device cannot be reached."""
    return board.retried(lambda: _status(board))


def _status(board: Board) -> DeviceStatus:
    names = board.files.names(board.path("releases"))
    return DeviceStatus(
        device=board.device,
        current=pointed(board, "current"),
        previous=pointed(board, "previous"),
        releases=tuple(
            ReleaseState(id=name, manifest=manifest_of(board, name), whole=is_whole(board, name))
            for name in names
            if not name.startswith(".")
        ),
        journal=board.document(Journal, "journal.json"),
        holder=holder(board),
    )


def history(board: Board) -> History:
    """Newest last. Raises DeviceError when the device cannot be reached."""
    return board.retried(lambda: board.document(History, "history.json")) or History()
