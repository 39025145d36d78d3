"""What the holder of a device's lock may do with its pointers, journal and history."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from edgecompress.errors import DeviceError, EdgecompressError
from edgecompress.push.board import Board
from edgecompress.push.documents import DOCUMENT_BYTES, Action, History, HistoryEntry, Journal
from edgecompress.push.layout import clean_releases, clean_up, remove_releases
from edgecompress.push.lock import Lock, Overtaken, by_whom
from edgecompress.push.pointers import is_whole, point, pointed, validation_of
from edgecompress.spec.pushed import Outcome, Pushed

HISTORY = 100
REASON_CHARACTERS = 500
UNFINISHED = ("pushing", "activating", "inconsistent")


class RollbackError(DeviceError):
    """The previous model could not be put back; what to do is in the message."""


@dataclass(frozen=True)
class Watch:
    """Who is told: a line for a person, and bytes of the model on the device."""

    note: Callable[[str], None] = lambda _: None
    sent: Callable[[int], None] = lambda _: None


@dataclass(frozen=True)
class Ended:
    """How it went, and which release is active then; None where that is none, or not known."""

    outcome: Outcome
    active: str | None
    reason: str | None = None
    override: bool = False


class Session:
    """One push, activation or rollback, from the lock to the last line of the history."""

    def __init__(self, board: Board, lock: Lock, watch: Watch) -> None:
        self.board = board
        self.lock = lock
        self.watch = watch

    def settle(self, keep: str = "") -> None:
        """End what an interrupted push began, and remove its traces but the upload `keep`.

        What `current` names stays, if it is whole: the old one, or the new one, which had been
        validated. Else the first whole one of those before is put back. Where none is whole,
        nothing is moved: the push that follows brings one.
        """
        board = self.board
        journal = board.retried(lambda: board.document(Journal, "journal.json"))
        if journal is not None and journal.state in UNFINISHED:
            ended = Ended("rolled_back", journal.before)
            if journal.state != "pushing":
                ended = self._settled(journal)
            if ended.outcome != "inconsistent":
                reason = "interrupted; settled by the next command"
                self.end(journal, "push", Ended(ended.outcome, ended.active, reason))
            became = ended.outcome if ended.reason is None else ended.reason
            self.watch.note(f"{board.name}: a push of {journal.release} was interrupted: {became}")
        board.retried(lambda: clean_up(board, keep))
        if journal is None or journal.state in UNFINISHED:
            board.retried(lambda: clean_releases(board))

    def _settled(self, journal: Journal) -> Ended:
        """How a push ended that may have moved pointers before it was interrupted."""
        board = self.board
        current = board.retried(lambda: pointed(board, "current"))
        if current is None and journal.before is None:
            return Ended("rolled_back", None)
        others = [journal.before, journal.previous]
        if board.retried(lambda: validation_of(board, journal.release)) is not None:
            others.append(journal.release)
        active = self.keep_active(*others)
        if active is None:
            lost = current or journal.before
            return Ended("inconsistent", None, f"{lost} is damaged, and there is no other")
        if board.retried(lambda: pointed(board, "previous")) == active:
            before = self._first_whole(*others, but=active)
            board.retried(lambda: point(board, "previous", before))
        return Ended("success" if active == journal.release else "rolled_back", active)

    def keep_active(self, *others: str | None) -> str | None:
        """The release that an application can open: what `current` names, if that is whole.

        Else the first whole one of `others` is made active. None: there is none, and nothing was
        changed.
        """
        board = self.board
        active = board.retried(lambda: pointed(board, "current"))
        if active is not None and board.retried(lambda: is_whole(board, active)):
            return active
        other = self._first_whole(*others, but=active)
        if other is not None:
            board.retried(self.lock.check)
            board.retried(lambda: point(board, "current", other))
            self.watch.note(f"{board.name}: {active} is damaged there; {other} is active again")
        return other

    def _first_whole(self, *releases: str | None, but: str | None) -> str | None:
        board = self.board
        for release in releases:
            if release not in (None, but) and board.retried(partial(is_whole, board, release)):
                return release
        return None

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

    def end(self, journal: Journal, action: Action, ended: Ended) -> Pushed:
        """Journal, history, and releases that nobody needs. What fails here undoes nothing."""
        reason = ended.reason and ended.reason[:REASON_CHARACTERS]
        board = self.board
        try:
            self._write(journal.model_copy(update={"state": ended.outcome, "reason": reason}))
            entry = self._entry(journal, action, ended)
            board.retried(lambda: self._add(entry))
            if ended.outcome == "success":
                board.retried(lambda: self._remove_old(journal.release))
        except EdgecompressError as error:
            self.watch.note(f"{board.name}: its journal is not up to date: {error}")
        return Pushed(
            device=board.device,
            outcome=ended.outcome,
            release=journal.release,
            active=ended.active,
            reasons=() if reason is None else (reason,),
        )

    def failed(self, journal: Journal, reason: str) -> Ended:
        """After a push that changed nothing: an application must still find a whole model."""
        if journal.before is None:
            return Ended("rolled_back", None, reason)
        try:
            active = self.keep_active(journal.previous)
            if active is None:
                lost = f"what is active there, {journal.before}, is damaged: push another model"
                return Ended("inconsistent", None, f"{reason}; {lost}")
            if active != journal.before:
                lost = f"{journal.before} was damaged there, and {active} is active now"
                return Ended("rolled_back", active, f"{reason}; {lost}")
        except Overtaken:
            return Ended("rolled_back", None, reason)  # It is the other's to say.
        except EdgecompressError:
            pass  # The device is gone meanwhile.
        return Ended("rolled_back", journal.before, reason)

    def _check_active(self, release: str) -> None:
        board = self.board
        active = board.retried(lambda: pointed(board, "current"))
        if active != release or not board.retried(lambda: is_whole(board, release)):
            raise DeviceError(f"{board.name}: current points to {active}, not to {release}, whole")

    def _put_back(self, journal: Journal, reason: str) -> None:
        """`current` and `previous` as the journal found them; where that is damaged, what is whole.

        Raises:
            RollbackError: that was not possible.
            Overtaken: another has the lock now, and settles what is here.

        """
        board, before = self.board, journal.before
        try:
            board.retried(self.lock.check)
            if before is not None and not board.retried(lambda: is_whole(board, before)):
                if self.keep_active(journal.previous) is None:
                    raise DeviceError(f"{board.name}: {before} is damaged there")
                return
            board.retried(lambda: point(board, "current", before))
            board.retried(lambda: point(board, "previous", journal.previous))
            if before is not None:
                self._check_active(before)
        except Overtaken:
            raise
        except EdgecompressError as error:
            raise RollbackError(
                f"{reason}; and putting {before or 'nothing'} back failed: {error}; once"
                f" the device answers, `edgecompress status {board.device}` says what is active and"
                f" `edgecompress rollback {board.device}` or another push puts it in order"
            ) from None

    def _write(self, journal: Journal) -> None:
        board = self.board
        board.retried(self.lock.check)
        board.retried(lambda: board.replace("journal.json", journal.model_dump_json().encode()))

    def _entry(self, journal: Journal, action: Action, ended: Ended) -> HistoryEntry:
        board = self.board
        record = board.retried(lambda: validation_of(board, journal.release))
        found = None if record is None else record.validation
        return HistoryEntry(
            at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            by=by_whom(),
            action=action,
            release=journal.release,
            before=journal.before,
            outcome=ended.outcome,
            reason=ended.reason and ended.reason[:REASON_CHARACTERS],
            run="" if record is None else record.run,
            metric=None if found is None else found.metric,
            value=None if found is None else found.value,
            override=ended.override,
        )

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
        remove_releases(board, needed)
