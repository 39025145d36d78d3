"""For how long a push waits, how much it keeps, and how often it tries: each bound by itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pushing import Clock, accept, board_on, local, release

from edgecompress.errors import DeviceError, StorageError, TransientError
from edgecompress.push import Board, Watch, history, push, status
from edgecompress.push import lock as locks
from edgecompress.push.lock import Lock, held
from edgecompress.push.session import Session
from edgecompress.push.upload import Upload

# As docs/devices.md says them.
ATTEMPTS, ATTEMPTS_S = 5, 120.0
QUIET_S, UNKNOWN_S = 120.0, 10.0
DOCUMENT_BYTES = 64 << 10
RESERVE_BYTES = 16 << 20
HASH_S, SLOWEST_BYTES_PER_S = 600.0, 100_000.0


class Ticking(Board):
    """A device whose owner changes its lock as time goes by; what is waited for is noted."""

    def __init__(self, folder: Path) -> None:
        self.ticks = Clock()
        super().__init__(local(folder), self.ticks.sleep, self.ticks)
        self.make_folders()


@pytest.fixture
def board(tmp_path: Path) -> Ticking:
    return Ticking(tmp_path)


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


def failing(board: Board, name: str, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """From now on every call of that method of the board's files loses the connection."""
    calls: list[object] = []

    def fail(*arguments: object, **_: object) -> None:
        calls.append(arguments)
        raise TransientError("the way to it broke")

    monkeypatch.setattr(board.files, name, fail)
    return calls


def test_a_device_that_is_gone_is_not_waited_for_to_say_good_bye(
    board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    with Lock(board, notes.append) as lock:
        calls = failing(board, "write", monkeypatch)
    assert len(calls) == 2
    assert notes == [f"{board.name}: the lock was not released: the way to it broke"]
    assert lock.owner.nonce not in locks._OURS


def test_a_step_is_tried_again_while_it_loses_its_connection(board: Ticking) -> None:
    tries: list[float] = []

    def step() -> str:
        tries.append(board.ticks.now)
        if len(tries) < ATTEMPTS:
            raise TransientError("again")
        return "done"

    assert board.retried(step) == "done"
    assert len(tries) == ATTEMPTS
    assert tries == sorted(tries)
    tries.clear()
    with pytest.raises(TransientError):
        board.retried(step, ATTEMPTS - 1)

    tries.clear()

    def refuse() -> None:
        tries.append(board.ticks.now)
        raise StorageError("no room")

    with pytest.raises(StorageError):
        board.retried(refuse)
    assert len(tries) == 1


@pytest.mark.parametrize(("lasts_s", "times"), [(ATTEMPTS_S / 2 - 0.25, 3), (ATTEMPTS_S / 2, 2)])
def test_no_step_is_tried_again_after_two_minutes(
    lasts_s: float, times: int, board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def step() -> None:
        tries.append(board.ticks.now)
        board.ticks.now += lasts_s
        raise TransientError("again")

    board.sleep = lambda _: None
    with monkeypatch.context() as patch:
        patch.setattr("tenacity.time.monotonic", board.ticks)
        with pytest.raises(TransientError):
            board.retried(step)
    assert len(tries) == times


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


def test_who_has_no_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(locks.getpass, "getuser", nobody)
    assert locks._user() == str(os.getuid())


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


def test_the_history_keeps_the_last_hundred_and_reasons_are_cut(
    board: Ticking, tmp_path: Path
) -> None:
    model, manifest = release(tmp_path, b"1")
    assert push(board, model, manifest, accept).outcome == "success"
    (entry,) = history(board).entries
    many = [entry.model_copy(update={"at": str(number)}).model_dump() for number in range(100)]
    text = json.dumps({"entries": many})
    assert len(text) < DOCUMENT_BYTES
    Path(board.path("history.json")).write_text(text)

    def refuse(_: str, __: object) -> None:
        raise DeviceError("x" * 1000)

    pushed = push(board, model, manifest, refuse)
    assert pushed.reasons == ("x" * 500,)
    entries = history(board).entries
    assert [found.at for found in entries[:-1]] == [str(number) for number in range(1, 100)]
    assert entries[-1].reason == "x" * 500


def test_what_fails_after_the_end_undoes_nothing(
    board: Ticking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    with held(board) as lock:
        session = Session(board, lock, Watch(note=notes.append))
        journal = session.begin("0" * 16)
        failing(board, "write", monkeypatch)
        assert session.end(journal, "push", "success").outcome == "success"
        monkeypatch.undo()
    assert notes == [f"{board.name}: its journal is not up to date: the way to it broke"]


@pytest.fixture
def lock(board: Ticking) -> Iterator[Lock]:
    with held(board) as lock:
        yield lock


def upload_of(board: Board, lock: Lock, folder: Path, size: int) -> Upload:
    return Upload(board, lock, *release(folder, bytes(size)), lambda _: None)


@pytest.mark.parametrize("size", [0, 6_000_100, 10**9])
def test_a_slow_link_is_given_the_time_that_it_needs(
    size: int, board: Ticking, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(board, lock, tmp_path, 10)
    upload.manifest = upload.manifest.model_copy(update={"size_bytes": size})
    given: dict[str, Any] = {}
    monkeypatch.setattr(board.files, "append", lambda *_, **more: given.update(more))
    upload._send()
    assert given["timeout_s"] == max(60.0, size / SLOWEST_BYTES_PER_S)
    assert upload.sent_bytes == size
    renewed: list[float] = []
    monkeypatch.setattr(lock, "renew", lambda quiet_s=QUIET_S: renewed.append(quiet_s))
    for name in ("_arrived", "_install", "_check_space"):
        monkeypatch.setattr(upload, name, lambda: True)
    upload.run()
    assert renewed == [max(HASH_S, size / SLOWEST_BYTES_PER_S), QUIET_S]


@pytest.mark.parametrize(
    ("there", "needed"),
    # One that is larger than what is sent is no credit.
    [(1 << 20, RESERVE_BYTES + (2 << 20)), (6 << 20, RESERVE_BYTES)],
)
def test_room_is_asked_for_what_is_still_to_come_and_a_reserve(
    there: int, needed: int, board: Ticking, lock: Lock, tmp_path: Path
) -> None:
    upload = upload_of(board, lock, tmp_path, 3 << 20)
    Path(upload._path()).write_bytes(bytes(there))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board.files, "free_bytes", lambda _: needed)
        upload._check_space()
        patch.setattr(board.files, "free_bytes", lambda _: needed - 1)
        words = rf"{(needed >> 20) - 1} MiB free below .* and {needed >> 20} MiB needed"
        with pytest.raises(StorageError, match=words):
            upload._check_space()


def test_a_file_that_is_not_what_was_written_is_not_put_in_place(
    board: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.replace("journal.json", b"{}")
    write = board.files.write
    for wrong in (b"", b"{} ", b"[]"):
        monkeypatch.setattr(board.files, "write", lambda path, _, wrong=wrong: write(path, wrong))
        with pytest.raises(TransientError, match="was not written as it was sent"):
            board.replace("journal.json", b"{}")
    root = Path(board.path())
    assert (root / "journal.json").read_bytes() == b"{}"
    assert not [path for path in root.iterdir() if path.name.startswith(".new-")]


def test_what_a_kill_left_is_removed_and_nothing_else(board: Ticking) -> None:
    root = Path(board.path())
    left = [".new-1", "releases/.new-2", "incoming/another.part"]
    kept = ["journal.json", "releases/new-3", "incoming/ours.part", "locks/.new-4"]
    for name in (*left, *kept):
        (root / name).write_bytes(b"1")
    board.clean_up("ours.part")
    assert [name for name in (*left, *kept) if (root / name).exists()] == kept


def test_an_empty_model_is_a_release_too(board: Ticking, tmp_path: Path) -> None:
    pushed = push(board_on(board.transport), *release(tmp_path, b""), accept)
    assert (pushed.outcome, pushed.sent_bytes) == ("success", 0)
