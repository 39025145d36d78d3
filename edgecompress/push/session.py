"""What the holder of a device's lock may do with its pointers, journal and history."""

import getpass
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from edgecompress.errors import DeviceError, EdgecompressError
from edgecompress.push.board import DOCUMENT_BYTES, Board
from edgecompress.push.documents import Action, History, HistoryEntry, Journal
from edgecompress.push.lock import Lock, Overtaken
from edgecompress.push.pointers import is_whole, point, pointed
from edgecompress.spec.pushed import Outcome, Pushed

HISTORY = 100
REASON_CHARACTERS = 500


class RollbackError(DeviceError):
    """The previous model could not be put back; what to do is in the message."""


@dataclass(frozen=True)
class Watch:
    """Who is told: a line for a person, and bytes of the model on the device."""

    note: Callable[[str], None] = lambda _: None
    sent: Callable[[int], None] = lambda _: None


class Session:
    """One push, activation or rollback, from the lock to the last line of the history."""

    def __init__(self, board: Board, lock: Lock, watch: Watch) -> None:
        self.board = board
        self.lock = lock
        self.watch = watch

    def settle(self, keep: str = "") -> None:
        """End what an interrupted push began, and remove its traces but the upload `keep`.

        A release whose activation had begun was validated: it stays where `current` names it and
        it is whole. Otherwise the one before is put back.
        """
        board = self.board
        journal = board.retried(lambda: board.document(Journal, "journal.json"))
        if journal is not None and journal.state in ("pushing", "activating", "inconsistent"):
            took = journal.state != "pushing" and board.retried(
                lambda: (
                    pointed(board, "current") == journal.release
                    and is_whole(board, journal.release)
                )
            )
            if not took and journal.state != "pushing":
                self._put_back(journal, "an interrupted push")
            outcome: Outcome = "success" if took else "rolled_back"
            self.end(journal, "push", outcome, "interrupted; settled by the next command")
            self.watch.note(f"{board.name}: a push of {journal.release} was interrupted: {outcome}")
        board.retried(lambda: board.clean_up(keep))

    def begin(self, release: str) -> Journal:
        """What is active now, written down before anything changes."""
        board = self.board
        journal = Journal(
            release=release,
            before=board.retried(lambda: pointed(board, "current")),
            previous=board.retried(lambda: pointed(board, "previous")),
            state="pushing",
        )
        self._write(journal)
        return journal

    def activate(self, journal: Journal) -> None:
        """Point `current` to the journal's release, and look.

        Raises:
            DeviceError: it was not possible; `current` is what it was.
            RollbackError: it was not possible, nor to put the old one back.

        """
        board = self.board
        self._write(journal.model_copy(update={"state": "activating"}))
        try:
            if journal.before not in (None, journal.release):
                board.retried(lambda: point(board, "previous", journal.before))
            board.retried(lambda: point(board, "current", journal.release))
            self._check_active(journal.release)
        except EdgecompressError as error:
            self._put_back(journal, str(error))
            raise

    def end(
        self, journal: Journal, action: Action, outcome: Outcome, reason: str | None = None
    ) -> Pushed:
        """Journal, history, and releases that nobody needs. What fails here undoes nothing."""
        reason = reason and reason[:REASON_CHARACTERS]
        board = self.board
        try:
            self._write(journal.model_copy(update={"state": outcome, "reason": reason}))
            entry = HistoryEntry(
                at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                by=f"{getpass.getuser()}@{socket.gethostname()}",
                action=action,
                release=journal.release,
                before=journal.before,
                outcome=outcome,
                reason=reason,
            )
            board.retried(lambda: self._add(entry))
            if outcome == "success":
                board.retried(lambda: self._remove_old(journal.release))
        except EdgecompressError as error:
            self.watch.note(f"{board.name}: its journal is not up to date: {error}")
        active = {"success": journal.release, "rolled_back": journal.before, "inconsistent": None}
        return Pushed(
            device=board.device,
            outcome=outcome,
            release=journal.release,
            active=active[outcome],
            reasons=() if reason is None else (reason,),
        )

    def _check_active(self, release: str) -> None:
        board = self.board
        found = board.retried(lambda: pointed(board, "current"))
        if found != release or not board.retried(lambda: is_whole(board, release)):
            raise DeviceError(f"{board.name}: current points to {found}, not to {release}, whole")

    def _put_back(self, journal: Journal, reason: str) -> None:
        """`current` and `previous` as the journal found them.

        Raises:
            RollbackError: that was not possible.
            Overtaken: another has the lock now, and settles what is here.

        """
        board = self.board
        try:
            board.retried(self.lock.check)
            board.retried(lambda: point(board, "current", journal.before))
            board.retried(lambda: point(board, "previous", journal.previous))
            if journal.before is not None:
                self._check_active(journal.before)
        except Overtaken:
            raise
        except EdgecompressError as error:
            raise RollbackError(
                f"{reason}; and putting {journal.before or 'nothing'} back failed: {error}; once"
                f" the device answers, `edgecompress status {board.device}` says what is active and"
                f" `edgecompress rollback {board.device}` or another push puts it in order"
            ) from None

    def _write(self, journal: Journal) -> None:
        board = self.board
        board.retried(self.lock.check)
        board.retried(lambda: board.replace("journal.json", journal.model_dump_json().encode()))

    def _add(self, entry: HistoryEntry) -> None:
        history = self.board.document(History, "history.json") or History()
        if entry not in history.entries:
            kept = (*history.entries, entry)[-HISTORY:]
            content = History(entries=kept).model_dump_json().encode()
            while len(content) > DOCUMENT_BYTES:
                kept = kept[1:]
                content = History(entries=kept).model_dump_json().encode()
            self.board.replace("history.json", content)

    def _remove_old(self, release: str) -> None:
        board = self.board
        needed = {release, pointed(board, "current"), pointed(board, "previous")}
        for name in board.files.names(board.path("releases")):
            if name not in needed:
                board.files.remove(board.path("releases", name))
