"""For how long a lock is waited for, and which number is whose: each bound by itself."""

import os
import socket
from pathlib import Path

import pytest
from pushing import Ticking, accept, failing, release

from edgecompress.errors import DeviceError
from edgecompress.push import Board, history, push, status
from edgecompress.push import lock as locks
from edgecompress.push.lock import Lock, held

# As docs/devices.md says them.
QUIET_S, UNKNOWN_S, QUIET_MOST_S = 120.0, 10.0, 6 * 3600.0


def other(board: Board, **changes: object) -> Lock:
    """Somebody on another machine, whose process we cannot look for."""
    lock = Lock(board)
    theirs = {"host": "elsewhere", "machine": "another", "user": "eve", **changes}
    lock.owner = lock.owner.model_copy(update=theirs)
    return lock


def test_one_that_has_not_said_who_it_is_is_given_a_moment(board: Ticking) -> None:
    Path(board.path("locks", "7")).mkdir()
    notes: list[str] = []
    with Lock(board, notes.append) as lock:
        assert UNKNOWN_S < board.ticks.now <= UNKNOWN_S + 2
        assert lock.number == 8
    assert notes == [f"{board.name}: waiting for somebody"]


@pytest.mark.parametrize("quiet_s", [30.0, 500.0])
def test_a_holder_may_be_silent_for_as_long_as_it_said(board: Ticking, quiet_s: float) -> None:
    silent = other(board, quiet_s=quiet_s)
    silent.__enter__()
    notes: list[str] = []
    # Who waits less than that waits for it all the same: the dead are overtaken in one wait.
    with Lock(board, notes.append, wait_s=5.0):
        assert quiet_s < board.ticks.now <= quiet_s + 2
    assert len(notes) == 1
    assert notes[0].endswith(f"waiting for eve@elsewhere (process {os.getpid()})")


@pytest.mark.parametrize("claimed", [1e18, 1e308, QUIET_MOST_S + 1])
def test_no_holder_may_be_silent_for_ever(
    board: Ticking, claimed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    other(board, quiet_s=claimed).__enter__()
    monkeypatch.setattr(locks, "POLL_S", 60.0)
    with Lock(board):
        assert QUIET_MOST_S < board.ticks.now <= QUIET_MOST_S + 60


@pytest.mark.parametrize("changes", [{"quiet_s": -1.0}, {"pid": 0}, {"pid": 10**30}])
def test_an_owner_that_cannot_be_is_somebody_unknown(
    board: Ticking, changes: dict[str, object]
) -> None:
    other(board, **changes).__enter__()
    with Lock(board):
        assert board.ticks.now <= UNKNOWN_S + 2


@pytest.mark.parametrize("name", ["²", "٣", "007", "0", "-1", "1e9", "9" * 19, "9" * 200, "8 "])
def test_what_is_no_number_is_no_lock(board: Ticking, name: str) -> None:
    for _ in range(2):
        (Path(board.path("locks")) / name).mkdir(exist_ok=True)
        with Lock(board) as lock:
            assert lock.number < 4
    assert (Path(board.path("locks")) / name).exists()


def test_the_last_number_is_named(board: Ticking) -> None:
    last = Path(board.path("locks", "9" * 18))
    last.mkdir()
    with pytest.raises(DeviceError, match=f"{last} leaves no number for a lock; remove it"):
        Lock(board).__enter__()


@pytest.mark.parametrize(("wait_s", "least"), [(5.0, QUIET_S), (300.0, 300.0)])
def test_who_waits_for_one_that_lives_gives_up(board: Ticking, wait_s: float, least: float) -> None:
    living = other(board)
    living.__enter__()

    def sleep(seconds: float) -> None:
        board.ticks.sleep(seconds)
        if board.ticks.now % 10 == 0:
            living.renew()

    waiting, before = Board(board.transport, sleep, board.ticks), {*locks._OURS}
    with pytest.raises(DeviceError, match=r"eve@elsewhere .* is pushing there for \d+ s"):
        Lock(waiting, wait_s=wait_s).__enter__()
    assert least < board.ticks.now <= least + 2
    assert before == locks._OURS


def test_a_holder_says_that_it_lives_and_for_how_long_it_may_be_silent(board: Ticking) -> None:
    with Lock(board) as lock:
        before = lock.owner
        assert (before.renewed, before.quiet_s) == (0, QUIET_S)
        for count, quiet_s in ((1, 900.0), (2, QUIET_S)):
            lock.renew(quiet_s)
            found = status(board).holder
            assert found == before.model_copy(update={"renewed": count, "quiet_s": quiet_s})


def test_a_number_is_never_used_again_and_earlier_ones_are_removed(board: Ticking) -> None:
    Path(board.path("locks", "299")).mkdir()
    for number in (300, 301, 302):
        with Lock(board) as lock:
            lock.renew()
            assert lock.number == number
            assert [path.name for path in Path(board.path("locks")).iterdir()] == [str(number)]


def test_who_is_beaten_to_a_number_waits_for_the_next(
    board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = board.files.make_folder

    def beaten(folder: str) -> bool:
        monkeypatch.undo()
        other(board).__enter__()
        return make(folder)

    monkeypatch.setattr(board.files, "make_folder", beaten)
    with Lock(board) as lock:
        assert lock.number == 2
        assert board.ticks.now > QUIET_S


def test_who_overtakes_while_earlier_numbers_are_removed_keeps_its_own(
    board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(board)
    check = lock.check

    def then_another_comes() -> None:
        check()
        Path(board.path("locks", "9")).mkdir()

    monkeypatch.setattr(lock, "check", then_another_comes)
    Path(board.path("locks", "1")).mkdir()
    assert lock._make(2)
    assert {path.name for path in Path(board.path("locks")).iterdir()} == {"2", "9"}


def test_a_number_is_ours_when_only_the_answer_was_lost(board: Ticking) -> None:
    for number, owner in ((1, None), (2, other(board).owner), (3, Lock(board).owner)):
        folder = Path(board.path("locks", str(number)))
        folder.mkdir()
        if owner is not None:
            (folder / "owner.json").write_text(owner.model_dump_json())
        assert not Lock(board)._make(number)
    ours = Lock(board)
    Path(board.path("locks", "4")).mkdir()
    Path(board.path("locks", "4", "owner.json")).write_text(ours.owner.model_dump_json())
    assert ours._make(4)
    assert ours.number == 4


def test_a_device_that_is_gone_is_not_waited_for_to_say_good_bye(
    board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    with Lock(board, notes.append) as lock:
        calls = failing(board, "write", monkeypatch)
    assert len(calls) == 2
    assert notes == [f"{board.name}: the lock was not released: the way to it broke"]
    assert lock.owner.nonce not in locks._OURS


@pytest.mark.parametrize(
    ("error", "lives"), [(ProcessLookupError, False), (PermissionError, True), (None, True)]
)
def test_a_process_that_may_not_be_signalled_lives(
    error: type[OSError] | None, lives: bool, board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_: int, signal: int) -> None:
        assert signal == 0
        if error is not None:
            raise error

    monkeypatch.setattr(locks.os, "kill", kill)
    owner = Lock(board).owner.model_copy(update={"pid": os.getpid() + 1})
    assert locks._lives(owner) == lives
    assert locks._is_free(owner) == (not lives)
    assert not locks._is_free(owner.model_copy(update={"machine": "another"}))
    assert locks._is_free(owner.model_copy(update={"machine": "another", "released": True}))


def test_who_has_no_name_is_a_number(
    board: Ticking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(locks.getpass, "getuser", nobody)
    assert locks.user() == str(os.getuid())
    assert push(board, *release(tmp_path, b"1"), accept).outcome == "success"
    (entry,) = history(board).entries
    assert entry.by == f"{os.getuid()}@{socket.gethostname()}"


def test_a_system_that_does_not_tell_is_a_machine_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert locks.this_machine() == locks.this_machine() != locks._ALONE

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert locks.this_machine() == locks._ALONE


def test_the_working_folder_is_empty_before_and_after(board: Ticking) -> None:
    work = Path(board.transport.workdir)
    work.mkdir(parents=True, exist_ok=True)
    (work / "left").write_bytes(b"1")
    with held(board):
        assert list(work.iterdir()) == []
        (work / "mine").write_bytes(b"2")
    assert list(work.iterdir()) == []
    # Who was overtaken touches nothing: what lies there may be another's.
    with held(board) as lock:
        (work / "theirs").write_bytes(b"3")
        Path(board.path("locks", str(lock.number + 1))).mkdir()
    assert [path.name for path in work.iterdir()] == ["theirs"]
