"""A slow and distant network has its time, and a still one has not."""

import os
import time

import pytest
from android_phone.phone import adb_server, make_phone, phone
from processes import DEADLINE_S
from slow import slow_daemon, throttled
from sshd import needs_sshd

from edgecompress.errors import DeviceError, StorageError, TimedOut
from edgecompress.transport import adb_link, adb_shell, connect, motion, ssh_process
from edgecompress.transport.adb import AdbTransport
from edgecompress.transport.motion import LEAST_BYTES, Motion

__all__ = ["adb_server", "make_phone", "phone"]

BYTES_PER_S, DELAY_S = 200_000, 0.05
STALL_S = 2.0
SIZE = int(1.5 * STALL_S * BYTES_PER_S)
"""Takes longer than nothing may move."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    with (
        slow_daemon(folder, BYTES_PER_S, DELAY_S) as (daemon, network),
        connect(daemon.device, folder) as transport,
    ):
        yield transport, network


@pytest.fixture
def local(tmp_path):
    file = tmp_path / "local"
    file.write_bytes(os.urandom(SIZE))
    return file


@needs_sshd
def test_what_moves_has_its_time(slow, local, tmp_path):
    transport, network = slow
    remote, told, moved = transport.path("file"), [], []
    transport.moved = lambda *what: moved.append(what)
    before, started = network.up.sent, time.monotonic()
    transport.files.append(local, remote, 0, timeout_s=STALL_S, sent=told.append)
    assert time.monotonic() - started > STALL_S
    assert network.up.sent - before < 1.1 * SIZE
    # Told of what has arrived, by time: much less than 4 MiB went.
    assert told == sorted(told)
    assert len(set(told)) > 3
    assert told[-1] == SIZE
    transport.get(remote, tmp_path / "back", timeout_s=STALL_S)
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    assert {(what, total) for what, _, total in moved} == {("fetching", 0)}
    assert len({done for _, done, _ in moved}) > 3


@needs_sshd
def test_what_a_program_is_given_has_its_time_besides_its_own(slow, local):
    transport, _ = slow
    moved = []
    transport.moved = lambda *what: moved.append(what)
    done = transport.run(["wc", "-c"], local.read_bytes(), timeout_s=STALL_S)
    assert done.stdout.split() == [b"%d" % SIZE]
    assert {(what, total) for what, _, total in moved} == {("sending", SIZE)}
    with pytest.raises(TimedOut, match=r"'sleep' ran longer than 0\.5 s"):
        transport.run(["sleep", "60"], timeout_s=0.5)


@needs_sshd
@pytest.mark.parametrize("operation", ["append", "get"])
def test_what_was_on_its_way_holds_nothing_up(slow, local, tmp_path, operation):
    """An interrupted push has its lock to release, and may not wait for what nobody wants."""
    transport, network = slow
    remote = transport.path("there")
    if operation == "get":
        transport.run(["truncate", "-s", str(SIZE), remote], timeout_s=DEADLINE_S)

    def interrupt(*_: object) -> None:
        raise InterruptedError

    transport.moved = interrupt
    work = {
        "append": lambda: transport.files.append(local, remote, 0, timeout_s=1, sent=interrupt),
        "get": lambda: transport.get(remote, tmp_path / "back", timeout_s=1),
    }[operation]
    before = network.up.sent + network.down.sent
    with pytest.raises((DeviceError, StorageError)):
        work()
    assert transport.files.size(transport.root) is not None
    assert network.up.sent + network.down.sent - before < SIZE * 0.7


@needs_sshd
@pytest.mark.parametrize("operation", ["append", "put", "get", "run"])
def test_what_stands_still_is_ended(slow, local, tmp_path, operation, monkeypatch):
    monkeypatch.setattr(ssh_process, "END_S", 0.2)
    transport, network = slow
    way = network.down if operation == "get" else network.up
    remote = transport.path("there")
    if operation == "get":
        transport.run(["truncate", "-s", str(SIZE), remote], timeout_s=DEADLINE_S)

    def stall(*_: object) -> None:
        way.is_stalled.set()

    transport.moved = stall
    work = {
        "append": lambda: transport.files.append(local, remote, 0, timeout_s=1.0, sent=stall),
        "put": lambda: transport.put(local, remote, timeout_s=1.0),
        "get": lambda: transport.get(remote, tmp_path / "back", timeout_s=1.0),
        "run": lambda: transport.run(["wc"], local.read_bytes(), timeout_s=1.0),
    }[operation]
    try:
        with pytest.raises(TimedOut, match=r"board.* longer than 1 s"):
            work()
    finally:
        way.is_stalled.clear()
    assert not (tmp_path / "back").exists()
    # The next call opens what it needs.
    assert transport.stat(transport.root, timeout_s=DEADLINE_S) is not None


def test_adb_over_a_slow_network(phone, local, tmp_path, monkeypatch):
    monkeypatch.setattr(adb_shell, "KILL_S", 0.2)
    with throttled(phone.port, BYTES_PER_S, DELAY_S) as network:
        transport = AdbTransport(f"127.0.0.1:{network.port}")
        remote, told, moved = transport.path("file"), [], []
        transport.files.append(local, remote, 0, timeout_s=2 * STALL_S, sent=told.append)
        assert told == sorted(told)
        assert told[-1] == SIZE
        transport.moved = lambda *what: moved.append(what)
        transport.get(remote, tmp_path / "back", timeout_s=STALL_S)
        assert (tmp_path / "back").read_bytes() == local.read_bytes()
        assert len(moved) > 3

        def stall(*_: object) -> None:
            network.up.is_stalled.set()

        transport.moved = stall
        monkeypatch.setattr(adb_link, "CONNECT_S", 0.5)
        for work in (
            lambda: transport.put(local, transport.path("there"), timeout_s=1.0),
            lambda: transport.run(["cat"], local.read_bytes(), timeout_s=1.0),
        ):
            with pytest.raises(TimedOut):
                work()
            network.up.is_stalled.clear()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(motion, "time", clock)
    return clock


def test_no_total_counts_but_a_trickle_does(clock):
    moving = Motion(10.0, "late")
    for number in range(1, 100):
        clock.now += 9.0
        moving.at(number * LEAST_BYTES)
        assert moving.left_s() == 10.0
    before = moving.count
    clock.now += 6.0
    moving.more(LEAST_BYTES - 1)
    assert moving.count == before + LEAST_BYTES - 1
    assert moving.left_s() == 4.0
    moving.at(before)
    moving.more(1)
    assert moving.left_s() == 10.0
    clock.now += 10.0
    with pytest.raises(TimedOut, match="late"):
        moving.wait_s()


def test_what_is_counted_beyond_the_end_is_no_motion(clock):
    moving = Motion(10.0, "late")
    moving.most = 2 * LEAST_BYTES
    moving.at(LEAST_BYTES)
    clock.now += 9.0
    moving.at(100 * LEAST_BYTES)
    assert moving.count == 2 * LEAST_BYTES
    assert moving.left_s() == 10.0
    clock.now += 10.0
    moving.at(200 * LEAST_BYTES)
    with pytest.raises(TimedOut):
        moving.wait_s()


def test_who_listens_hears_about_once_a_second(clock):
    told = []
    moving = Motion(10.0, "late", told.append, start=5)
    for _ in range(8):
        clock.now += 0.25
        moving.tick()
    assert told == []  # Nothing moved yet.
    moving.at(7)
    for _ in range(8):
        clock.now += 0.25
        moving.tick()
    assert told == [7, 7, 7]
