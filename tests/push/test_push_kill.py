"""A SIGKILL of the host before and after every operation of a push, once and again and again."""

import sys
from pathlib import Path

import pytest
from killing import Killing, When
from killing import killed as _killed
from pushing import accept, board_on, local, opened, quick_folder, release

from edgecompress.push import push, status, switch
from edgecompress.transport.faulty import Faults, FaultyTransport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")


@pytest.mark.parametrize("links", [True, False], ids=["links", "files"])
@pytest.mark.parametrize("story", ["first", "upgrade", "rollback"])
def test_killed_at_every_step(
    tmp_path: Path, story: str, links: bool, request: pytest.FixtureRequest
) -> None:
    stride = request.config.getoption("--kill-stride")
    old, new = release(tmp_path, b"old" * 50), release(tmp_path, b"new" * 70)

    def begin(folder: Path) -> Path:
        transport = local(folder)
        transport.files.symlinks = links
        if story != "first":
            assert push(board_on(transport), *old, accept).outcome == "success"
        if story == "rollback":
            assert push(board_on(transport), *new, accept).outcome == "success"
        return Path(transport.root)

    def work(transport: FaultyTransport) -> object:
        board = board_on(transport)
        return switch(board, None) if story == "rollback" else push(board, *new, accept)

    def on(folder: Path, faults: Faults) -> FaultyTransport:
        transport = local(folder)
        transport.files.symlinks = links
        return FaultyTransport(transport, faults)

    allowed = {old[1].id, new[1].id} | ({None} if story == "first" else set())
    with quick_folder(tmp_path) as base:
        begin(base / "count")
        count = Killing(None)
        work(on(base / "count", count))
        cases: list[tuple[int, When]] = [
            (at, when) for at in range(len(count.names)) for when in ("before", "after")
        ]
        for at, when in cases[links::stride]:
            for times in (1, 3):
                name = f"{story} {when} {at} ({count.names[at]}) x{times}"
                folder = base / f"{when}-{at}-{times}"
                root = begin(folder)
                for _ in range(times):
                    was_killed = _killed(work, on(folder, Killing(at, when)))
                    assert was_killed or times > 1, name
                    assert opened(root) in allowed, name
                healthy = board_on(on(folder, Faults(seed=0, rate=0)))
                assert push(healthy, *new, accept).outcome == "success", name
                assert opened(root) == new[1].id, name
                assert status(healthy).holder is None, name
                assert not list(root.rglob(".new-*")), name
    assert len(cases) >= 50
    print(f"{story}, {'links' if links else 'files'}: {len(cases)} places, once and three times")
