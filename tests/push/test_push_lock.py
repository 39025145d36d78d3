"""Who holds the lock of a device, and who takes it over."""

import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from pushing import Clock, accept, board_on, local, opened, release

from edgecompress.errors import DeviceError
from edgecompress.push import Alive, Board, make_folders, push, status
from edgecompress.push.documents import Owner
from edgecompress.push.lock import QUIET_S, Lock
from edgecompress.transport.faulty import Faults, FaultyTransport


def _other(board: Board, **update: object) -> Lock:
    """A lock of somebody on another machine, whose process we cannot look for."""
    lock = Lock(board)
    theirs = {"host": "elsewhere", "machine": "another", "user": "eve"}
    lock.owner = lock.owner.model_copy(update={**theirs, **update})
    return lock


def test_the_second_waits_and_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    model, manifest = release(tmp_path, b"1")
    with _other(board) as first:
        clock = Clock()

        def alive(seconds: float) -> None:
            clock.sleep(seconds)
            if clock.now % 60 == 0:
                first.renew()

        pushed = push(Board(board.transport, sleep=alive, clock=clock), model, manifest, accept)
        assert pushed.outcome == "rolled_back"
        assert "eve@elsewhere" in pushed.reasons[0]
        assert 1200 < clock.now <= 1202
        assert opened(Path(board.transport.root)) is None
    assert push(board, model, manifest, accept).outcome == "success"


def test_a_silent_holder_is_overtaken_and_can_do_nothing_more(tmp_path: Path) -> None:
    board, root = board_on(local(tmp_path)), Path(local(tmp_path).root)
    make_folders(board)
    old, new = release(tmp_path, b"1"), release(tmp_path, b"2")

    def overtaken(_: str, alive: Alive) -> None:
        alive(60.0)
        assert push(board_on(local(tmp_path)), *new, accept).outcome == "success"

    slow = board_on(local(tmp_path))
    with _Elsewhere():
        pushed = push(slow, *old, overtaken)
    assert pushed.outcome == "rolled_back"
    assert "took over the lock" in pushed.reasons[0]
    assert opened(root) == new[1].id
    journal = status(board).journal
    assert journal is not None
    assert (journal.release, journal.state) == (new[1].id, "success")


class _Elsewhere:
    """While open, locks are taken as somebody on another machine."""

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        machines = iter(["another", *["this"] * 1000])
        self.patch.setattr("edgecompress.push.lock.this_machine", lambda: next(machines))

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def test_a_dead_process_of_this_machine_is_overtaken_at_once(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    dead = Lock(board)
    dead.owner = dead.owner.model_copy(update={"pid": 2**22 - 1})
    dead.__enter__()
    assert _waited_s(tmp_path) == 0


def test_a_process_of_another_machine_of_this_name_is_not_looked_for(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    _other(board, host=socket.gethostname(), pid=2**22 - 1).__enter__()
    assert QUIET_S <= _waited_s(tmp_path) < 2 * QUIET_S


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_process_that_died_with_its_lock_is_overtaken_at_once(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    child = os.fork()
    if child == 0:
        try:
            Lock(board).__enter__()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert [folder.name for folder in Path(board.path("locks")).iterdir()] == ["1"]
    assert _waited_s(tmp_path) == 0


def _waited_s(folder: Path) -> float:
    """For how long a push to that device had to wait for its lock."""
    clock = Clock()
    board = Board(local(folder), sleep=clock.sleep, clock=clock)
    assert push(board, *release(folder, b"1"), accept).outcome == "success"
    return clock.now


def test_a_lock_that_this_process_lost_is_overtaken_at_once(tmp_path: Path) -> None:
    transport = local(tmp_path)
    faults = Faults(seed=0, rate=0)
    faulty = FaultyTransport(transport, faults)
    model, manifest = release(tmp_path, b"1")

    def vanish(_: str, __: Alive) -> None:
        faults.rate, faults.kinds = 1.0, ("drop",)

    pushed = push(board_on(faulty), model, manifest, vanish)
    assert pushed.outcome == "rolled_back"
    assert status(board_on(transport)).holder is None
    assert _waited_s(tmp_path) == 0


def test_a_lock_that_another_thread_of_this_process_holds_is_not_overtaken(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    clock = Clock()
    with Lock(board), Lock(Board(board.transport, clock.sleep, clock)):
        assert clock.now > QUIET_S


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"pid": 1}', bytes(5000)])
def test_a_lock_that_says_nothing_is_overtaken(tmp_path: Path, content: bytes | None) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    folder = Path(board.path("locks", "7"))
    folder.mkdir()
    if content is not None:
        (folder / "owner.json").write_bytes(content)
    model, manifest = release(tmp_path, b"1")
    assert push(board, model, manifest, accept).outcome == "success"
    assert status(board).holder is None


def test_many_at_once_are_never_two_holders(tmp_path: Path) -> None:
    transport = local(tmp_path)
    make_folders(Board(transport))
    inside, most, errors = [0], [0], []
    guard = threading.Lock()

    def work() -> None:
        try:
            for _ in range(5):
                with Lock(Board(transport, sleep=lambda _: time.sleep(0.002))):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with guard:
                        inside[0] -= 1
        except DeviceError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], errors) == (1, [])


def test_who_comes_late_to_a_number_waits_for_the_next(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    late = Lock(board)
    Path(board.path("locks", "9")).mkdir()
    assert not late._make(5)
    assert [path.name for path in Path(board.path("locks")).iterdir()] == ["9"]


def test_two_pushers_at_once_leave_one_whole_model(tmp_path: Path) -> None:
    root = Path(local(tmp_path).root)
    releases = [release(tmp_path, bytes([number]) * 5000) for number in range(4)]
    outcomes = []

    def work(model: Path, manifest: object) -> None:
        board = Board(local(tmp_path), sleep=lambda _: time.sleep(0.002))
        outcomes.append(push(board, model, manifest, accept).outcome)  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=pair) for pair in releases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["success"] * 4
    assert opened(root) in {manifest.id for _, manifest in releases}


def test_the_owner_file_says_who(tmp_path: Path) -> None:
    board = board_on(local(tmp_path))
    make_folders(board)
    with Lock(board):
        found = status(board).holder
        assert isinstance(found, Owner)
        assert found.pid > 0
        assert found.user
    assert status(board).holder is None


@pytest.mark.parametrize("folder", ["incoming", "work"])
def test_a_holder_whose_files_grow_is_alive(tmp_path: Path, folder: str) -> None:
    """An upload may be slow; when it stands still, its holder is given up like any other."""
    board = board_on(local(tmp_path))
    make_folders(board)
    place = Path(board.path("incoming") if folder == "incoming" else board.transport.workdir)
    part, clock = place / "abc.part", Clock()
    _other(board, quiet_s=10.0).__enter__()

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now <= 60:
            with part.open("ab") as writer:
                writer.write(b"x")

    with Lock(Board(board.transport, sleep=wait, clock=clock)):
        assert 69 <= clock.now <= 73
