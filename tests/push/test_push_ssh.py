"""A push over a real SSH connection that is lost: at every step, for a moment or for good, and in
the middle of the model.

`--kill-stride 1 --resume-mb 100` is the whole promise.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import pytest
from pushing import Clock, accept, board_on, opened, quick_folder, release
from relay import Relay, relay_to
from sshd import Daemon, needs_sshd, ssh_daemon

from edgecompress.errors import DeviceError
from edgecompress.push import Board, Manifest, Pushed, push, status, switch
from edgecompress.push.lock import UNKNOWN_S
from edgecompress.spec.device import Device
from edgecompress.transport import LocalTransport, connect
from edgecompress.transport.faulty import Fault, Faults, FaultyTransport

T = TypeVar("T")
When = Literal["before", "after"]
BLOCK = 1 << 20
IN_FLIGHT_BYTES = 8 << 20
"""What a connection and this machine's sockets may hold."""

pytestmark = needs_sshd


@dataclass
class Way:
    """To this machine, behind a server and a network."""

    daemon: Daemon
    relay: Relay

    def device(self, root: Path) -> Device:
        return self.daemon.device.model_copy(update={"root": str(root)})


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    folder = tmp_path_factory.mktemp("board")
    with ssh_daemon(folder) as daemon, relay_to(daemon.port, folder / "ssh_config") as relay:
        yield Way(daemon, relay)


class Losing(Faults):
    """Counts operations, and at one of them kills the server's part of the connection."""

    def __init__(self, way: Way, at: int | None, when: When = "before", *, for_good: bool = False):
        super().__init__(seed=0, rate=0)
        self.way, self.at, self.when, self.for_good = way, at, when, for_good
        self.names: list[str] = []

    def apply(self, operation: str, work: Callable[[], T], fault: Fault | None) -> T:
        self.names.append(operation)
        if self.when == "before":
            self._lose()
        result = work()
        if self.when == "after":
            self._lose()
        return result

    def _lose(self) -> None:
        if len(self.names) - 1 == self.at:
            self.way.relay.is_down = self.for_good
            self.way.daemon.cut()


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("story", ["upgrade", "rollback"])
def test_the_connection_is_killed_at_every_step(
    tmp_path: Path, way: Way, story: str, for_good: bool, request: pytest.FixtureRequest
) -> None:
    stride = request.config.getoption("--kill-stride")
    old, new = release(tmp_path, b"old" * 50), release(tmp_path, b"new" * 70)
    # Both places of a step by turns, and no more than a suite has time for.
    step = 1 if stride == 1 else 6 * stride + 1

    def begin(root: Path) -> None:
        board = board_on(LocalTransport(tmp_path / "work", root))
        for model in (old, new) if story == "rollback" else (old,):
            assert push(board, *model, accept).outcome == "success"

    def work(root: Path, faults: Losing) -> Pushed:
        with connect(way.device(root), tmp_path) as transport:
            board = board_on(FaultyTransport(transport, faults))
            return switch(board, None) if story == "rollback" else push(board, *new, accept)

    wanted, other = (old, new) if story == "rollback" else (new, old)
    with quick_folder(tmp_path) as base:
        begin(base / "count")
        count = Losing(way, None)
        work(base / "count", count)
        cases: list[tuple[int, When]] = [
            (at, when) for at in range(len(count.names)) for when in ("before", "after")
        ]
        ends = dict.fromkeys(("success", "rolled_back", "inconsistent", "raised"), 0)
        for at, when in cases[int(for_good and step > 1) :: step]:
            name = f"{story} {when} {at} ({count.names[at]})"
            root = base / f"{when}-{at}"
            begin(root)
            losing = Losing(way, at, when, for_good=for_good)
            outcome = _outcome(partial(work, root, losing))
            ends[outcome] += 1
            if not for_good:
                assert outcome == "success", name
            active = opened(root)
            assert active in _allowed(outcome, wanted[1], other[1]), (name, outcome)
            way.relay.is_down = False
            clock = Clock()
            with connect(way.device(root), tmp_path) as transport:
                board = Board(transport, clock.sleep, clock)
                assert push(board, *new, accept).outcome == "success", name
                assert status(board).holder is None, name
            # Unless it was made and nothing written in it, the lost lock is known to be ours.
            assert clock.now < 2 * UNKNOWN_S, name
            assert opened(root) == new[1].id, name
            assert not list(root.rglob(".new-*")), name
    print(f"{story}: {len(cases)} places, {sum(ends.values())} tried: {ends}")


def _outcome(work: Callable[[], Pushed]) -> str:
    try:
        return work().outcome
    except DeviceError:
        return "raised"


def _allowed(outcome: str, wanted: Manifest, other: Manifest) -> set[str]:
    """What an application may find after that."""
    return {"success": {wanted.id}, "inconsistent": {wanted.id, other.id}}.get(outcome, {other.id})


@dataclass
class Sending:
    """A model that cannot be compressed, and what a push of it costs besides its bytes."""

    way: Way
    model: Path
    manifest: Manifest
    content: bytes

    def push(self, root: Path, cut: int) -> tuple[Pushed, int]:
        """With the first bytes there already; and what crossed the network."""
        (root / "incoming").mkdir(parents=True)
        (root / "incoming" / f"{self.manifest.sha256}.part").write_bytes(self.content[:cut])
        with connect(self.way.device(root), root) as transport:
            before = self.way.relay.sent
            pushed = push(Board(transport), self.model, self.manifest, accept)
            return pushed, self.way.relay.sent - before


@pytest.fixture
def sending(tmp_path: Path, way: Way, request: pytest.FixtureRequest) -> Sending:
    size = request.config.getoption("--resume-mb") * 1_000_000
    content = random.Random(0).randbytes(size)
    return Sending(way, *release(tmp_path, content), content)


def test_a_model_that_was_cut_is_resumed(tmp_path: Path, sending: Sending) -> None:
    size = len(sending.content)
    with quick_folder(tmp_path) as base:
        _, overhead = sending.push(base / "all", size)
        assert overhead < 100_000
        for cut in (0, 1, BLOCK - 1, BLOCK, size // 2, size - 1):
            root = base / str(cut)
            pushed, crossed = sending.push(root, cut)
            assert (pushed.outcome, pushed.sent_bytes) == ("success", size - cut)
            assert opened(root) == sending.manifest.id
            again = crossed - overhead - (size - cut)
            print(f"cut at {cut} of {size}: {crossed} bytes crossed, {again} more than needed")
            assert abs(again) < size / 100


def test_another_models_part_is_not_resumed(tmp_path: Path, sending: Sending) -> None:
    sending.content = bytes(len(sending.content) // 2)
    with quick_folder(tmp_path) as base:
        pushed, _ = sending.push(base / "root", len(sending.content))
        assert (pushed.outcome, pushed.sent_bytes) == ("success", sending.manifest.size_bytes)
        assert opened(base / "root") == sending.manifest.id


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_push_goes_on_where_its_connection_was_cut(
    tmp_path: Path, sending: Sending, part: float
) -> None:
    size, relay = len(sending.content), sending.way.relay
    with quick_folder(tmp_path) as base:
        relay.cut_at = relay.sent + int(part * size)
        # A busy machine may have read nothing of it by then: the cut waits for half of what came.
        arriving = base / "root" / "incoming" / f"{sending.manifest.sha256}.part"
        enough, deadline = part * size / 2, time.monotonic() + 60
        relay.holds = lambda: arriving.stat().st_size < enough and time.monotonic() < deadline
        pushed, crossed = sending.push(base / "root", 0)
        assert relay.cut_at is None
        assert pushed.outcome == "success"
        assert opened(base / "root") == sending.manifest.id
        # It was on its way when the connection ended, and never arrived.
        lost = crossed - size
        print(f"cut after {part:.0%} of {size} bytes: {lost} bytes were lost on the way")
        assert lost < min(IN_FLIGHT_BYTES, 0.75 * part * size)
