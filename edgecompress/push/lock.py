"""One pusher at a time on a device, and none for ever."""

import getpass
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from edgecompress.errors import DeviceError, EdgecompressError
from edgecompress.push.board import Board, parsed
from edgecompress.push.documents import Owner
from edgecompress.push.layout import OWNER, clear_work, need, remove_lock

QUIET_S = 120.0
"""How long a holder may say nothing while it moves files."""
QUIET_MOST_S = 6 * 3600.0
"""How long it may say nothing while it does anything else, whatever it announces."""
UNKNOWN_S = 10.0
"""How long a holder that has not yet written who it is may say nothing."""
WAIT_S = 1200.0
"""And never less than the holder may be silent, so that the dead are overtaken in one wait."""
POLL_S = 1.0
OWNER_BYTES = 4096
NUMBER = re.compile(r"[1-9][0-9]{0,17}")
PART = ".part"
"""How a file's name ends while it is written."""
RELEASE_ATTEMPTS = 2
"""A device that is gone should not be waited for once more, only to be told that we go too."""

_OURS: set[str] = set()
"""Nonces of the locks that this process holds or waits for."""
_ALONE = secrets.token_hex(16)


class Overtaken(DeviceError):
    """We were silent for so long that another holds the lock now."""


class Lock:
    """The folder `locks/<n>` of the highest n is its maker's; making one is atomic.

    The dead are overtaken by making the next number, which only one of those who try can. So a
    holder that was only slow finds out in `check`, and has done nothing in between that the new
    one's work could not follow: every pointer it moved pointed to a whole release.
    """

    def __init__(
        self,
        board: Board,
        note: Callable[[str], None] = lambda _: None,
        wait_s: float = WAIT_S,
    ) -> None:
        self.board = board
        self.note = note
        self.wait_s = wait_s
        self.number = 0
        self.owner = Owner(
            nonce=secrets.token_hex(8),
            user=user(),
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            renewed=0,
            quiet_s=QUIET_S,
        )

    def __enter__(self) -> "Lock":
        _OURS.add(self.owner.nonce)
        try:
            self._acquire()
        except BaseException:
            _OURS.discard(self.owner.nonce)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        released = self.owner.model_copy(update={"released": True})
        # What cannot be released is overtaken later; the reason to leave is worth more.
        try:
            self.board.retried(partial(self._replace, released), RELEASE_ATTEMPTS)
        except EdgecompressError as error:
            self.note(f"{self.board.name}: the lock was not released: {error}")
        finally:
            _OURS.discard(self.owner.nonce)

    def renew(self, quiet_s: float = QUIET_S) -> None:
        """Say that we live, and for how long we may be silent now."""
        update = {"renewed": self.owner.renewed + 1, "quiet_s": quiet_s}
        self.owner = self.owner.model_copy(update=update)
        self.board.retried(self.check)
        self._write(self.owner)

    def check(self) -> None:
        """Raises Overtaken when another holds the lock now."""
        number, content = _highest(self.board)
        owner = content and parsed(Owner, content, "owner.json")
        if number != self.number or (owner and owner.nonce != self.owner.nonce):
            by = f"{owner.user}@{owner.host}" if owner else "another"
            raise Overtaken(
                f"{self.board.name}: {by} took over the lock, because we were silent for too long;"
                f" see: edgecompress status {self.board.device}; and push again"
            )

    def _acquire(self) -> None:
        board = self.board
        seen: tuple[object, object] | None = None
        told = ""
        started = since = board.clock()
        while True:
            number, content = held = board.retried(lambda: _highest(board))
            signs = (held, board.retried(lambda: _written(board)) if number else ())
            if signs != seen:
                seen, since = signs, board.clock()
            owner = parsed(Owner, content, "owner.json") if content else None
            quiet_s = min(owner.quiet_s, QUIET_MOST_S) if owner else UNKNOWN_S
            if number == 0 or _is_free(owner) or board.clock() - since > quiet_s:
                if board.retried(partial(self._make, number + 1)):
                    return
                continue
            if board.clock() - started > max(self.wait_s, quiet_s):
                raise DeviceError(
                    f"{board.name}: {_words(owner)} is pushing there for"
                    f" {board.clock() - started:.0f} s; try again later; what is active there:"
                    f" edgecompress status {board.device}"
                )
            if told != (told := f"{board.name}: waiting for {_words(owner)}"):
                self.note(told)
            board.sleep(POLL_S)

    def _make(self, number: int) -> bool:
        folder = self.board.path("locks", str(number))
        if NUMBER.fullmatch(str(number)) is None:
            last = self.board.path("locks", str(number - 1))
            raise DeviceError(f"{self.board.name}: {last} leaves no number for a lock; remove it")
        if not self.board.files.make_folder(folder):
            content = self.board.files.read(f"{folder}/{OWNER}", OWNER_BYTES)
            owner = parsed(Owner, content, "owner.json") if content else None
            # Ours, when the answer to the first try was lost.
            if owner is None or owner.nonce != self.owner.nonce:
                return False
        if not self._is_highest(number):
            # We came late: others took and released locks meanwhile, and this number's was removed.
            remove_lock(self.board, number)
            return False
        self.number = number
        try:
            self._write(self.owner)
            self.check()
        except DeviceError:
            if self._is_highest(number):
                raise
            return False
        for lower in _numbers(self.board):
            if lower < number:
                remove_lock(self.board, lower)
        return True

    def _is_highest(self, number: int) -> bool:
        return self.board.retried(partial(_highest, self.board))[0] == number

    def _write(self, owner: Owner) -> None:
        self.board.retried(partial(self._replace, owner))

    def _replace(self, owner: Owner) -> None:
        self.board.replace(f"locks/{self.number}/{OWNER}", owner.model_dump_json().encode())


@contextmanager
def held(board: Board, note: Callable[[str], None] = lambda _: None) -> Iterator[Lock]:
    """The lock, and with it the working folder, which is empty before and after.

    What lies in it at first is of somebody who died, or was overtaken.
    """
    with Lock(board, note) as lock:
        board.retried(lambda: clear_work(board))
        try:
            yield lock
        finally:
            # What is left is removed by the next; of who overtook us, nothing may be.
            with suppress(EdgecompressError):
                lock.check()
                clear_work(board)


def holder(board: Board) -> Owner | None:
    """Who is pushing now, as far as the device knows."""
    _, content = _highest(board)
    owner = parsed(Owner, content, "owner.json") if content else None
    return None if owner is None or _is_free(owner) else owner


def _highest(board: Board) -> tuple[int, bytes | None]:
    """Its number, 0 when there is none, and what its owner.json holds."""
    number = max(_numbers(board), default=0)
    if number == 0:
        return 0, None
    return number, board.files.read(board.path("locks", str(number), OWNER), OWNER_BYTES)


def _numbers(board: Board) -> list[int]:
    """Raises InTheWay when something else than a folder has such a name."""
    entries = board.files.entries(board.path("locks"))
    folders = {name: kind for name, kind in entries.items() if NUMBER.fullmatch(name)}
    for name, kind in folders.items():
        need(board, board.path("locks", name), kind, "folder")
    return [int(name) for name in folders]


def _written(board: Board) -> list[tuple[str, int | None]]:
    """Files that are being sent, and their sizes: who writes is alive, however slow the link."""
    folders = (board.path("incoming"), board.transport.workdir)
    parts = [
        f"{folder}/{name}"
        for folder in folders
        for name in board.files.names(folder)
        if name.endswith(PART)
    ]
    return [(path, board.files.size(path)) for path in parts]


def _is_free(owner: Owner | None) -> bool:
    """Released, or held by a process of this machine that is gone, or by us and given up."""
    if owner is None:
        return False
    return owner.released or (owner.machine == this_machine() and not _lives(owner))


def this_machine() -> str:
    """Equal for two processes that can look for one another, and for no others.

    Not the host's name nor its machine-id, which cloned cards and containers share: the kernel
    since it was started, and the namespace that process ids are of. Where a system does not tell
    them, this process alone, so that others' are given up for dead only when they are silent.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return _ALONE


def _lives(owner: Owner) -> bool:
    """Whether its process does; of our own process, whether the lock is still in use."""
    if owner.pid == os.getpid():
        return owner.nonce in _OURS
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _words(owner: Owner | None) -> str:
    return "somebody" if owner is None else f"{owner.user}@{owner.host} (process {owner.pid})"


def by_whom() -> str:
    return f"{user()}@{socket.gethostname()}"


def user() -> str:
    """The user's name; the number of a container's user that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
