"""A power cut at any moment of a push, an upgrade or a rollback: one push mends what is left.

The system calls of the real programs are recorded, and the states made that a cut may leave by
POSIX's rules: see power_cut/disk.py. `--states 100000` makes all of them.
"""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from android_phone.phone import adb_server, make_phone, phone
from killing import Killing, killed
from power_cut.disk import Cut
from power_cut.recording import needs_strace, recorded
from pushing import accept, board_on, documents, local, opened, quick_folder, release
from sshd import needs_sshd, ssh_device

from edgecompress.push import Manifest, push, status, switch
from edgecompress.push.documents import Journal
from edgecompress.transport import Transport, connect
from edgecompress.transport.adb import ROOT, AdbTransport
from edgecompress.transport.faulty import FaultyTransport

__all__ = ["adb_server", "make_phone", "phone"]

pytestmark = needs_strace
OF_PLACE = 32
"""States that are made for one place, where there are more."""
STORIES = ("first", "upgrade", "rollback", "settle")
Release = tuple[Path, Manifest]


@dataclass(frozen=True)
class Way:
    """To a device, and its root as it lies here."""

    connect: Callable[[], Transport]
    root: Path

    def begin(self, story: str, old: Release, new: Release) -> bool:
        """Make what lies there before; whether its pointers are links."""
        with self.connect() as transport:
            board = board_on(transport)
            if story != "first":
                assert push(board, *old, accept).outcome == "success"
            if story == "rollback":
                assert push(board, *new, accept).outcome == "success"
            links = transport.files.symlinks
        if story == "settle":
            self._interrupt(new, links)
        if story == "first":
            # Connecting has made it already, and it shall be new to the disk.
            shutil.rmtree(self.root, ignore_errors=True)
        return links

    def _interrupt(self, new: Release, links: bool) -> None:
        """Leave the device as a push does that is killed between its two pointers."""
        kept = self.root.parent / "kept"
        shutil.copytree(self.root, kept, symlinks=True)
        state = "pushing"
        for at in itertools.count():
            if state == "activating":
                break
            shutil.rmtree(self.root)
            shutil.copytree(kept, self.root, symlinks=True)
            here = local(self.root.parent)
            here.root, here.files.symlinks = str(self.root), links
            faulty = FaultyTransport(here, Killing(at))
            assert killed(lambda there: push(board_on(there), *new, accept), faulty)
            state = Journal.model_validate_json((self.root / "journal.json").read_text()).state
        shutil.rmtree(kept)


@pytest.fixture(params=["local", pytest.param("ssh", marks=needs_sshd), "adb"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    if request.param == "local":
        return Way(lambda: local(tmp_path), tmp_path / "root")
    if request.param == "adb":
        android = request.getfixturevalue("phone")
        return Way(lambda: AdbTransport(android.address), Path(android.here(ROOT)))
    device = ssh_device(tmp_path / "board")
    return Way(lambda: connect(device, tmp_path), tmp_path / "board" / "home" / ".edgecompress")


@pytest.mark.parametrize("story", STORIES)
def test_every_state_that_a_power_cut_may_leave(
    story: str, way: Way, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    old, new = (release(tmp_path, Random(name).randbytes(5000)) for name in ("old", "new"))
    links = way.begin(story, old, new)
    # Connected within, so that the helper on the board is recorded as well.
    with recorded(way.root, tmp_path / "strace.log") as disk, way.connect() as transport:
        board = board_on(transport)
        done = switch(board, None) if story == "rollback" else push(board, *new, accept)
    assert done.outcome == "success"
    ids = {old[1].id, new[1].id}
    after = old[1].id if story == "rollback" else new[1].id
    before = ids | {None} if story == "first" else ids
    cuts = list(disk.cuts(OF_PLACE, seed=0))
    at_the_end = [cut for cut in cuts if cut.place == len(disk.changes)]
    during = [cut for cut in cuts if cut.place < len(disk.changes)]
    wanted = min(len(during), request.config.getoption("--states") // 6)
    with quick_folder(tmp_path) as base:
        for cut in at_the_end:
            assert not cut.twice()
            _check(cut, base / "cut", links, {after}, new)
        for cut in Random(story).sample(during, wanted):
            _check(cut, base / "cut", links, before, new)
    made = f"{len(at_the_end)} states at the end and {wanted} of {len(during)} before"
    print(f"{story}: {made}, {len(disk.changes)} changes: 0 violations")
    assert len(disk.changes) >= 20
    assert len(cuts) >= 60


def _check(cut: Cut, folder: Path, links: bool, allowed: set[str | None], new: Release) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    cut.lay_out(folder / "root")
    assert opened(folder / "root") in allowed, cut.place
    assert dict(documents(folder / "root")) is not None
    transport = local(folder)
    transport.files.symlinks = links
    board = board_on(transport)
    assert push(board, *new, accept).outcome == "success", cut.place
    assert opened(folder / "root") == new[1].id, cut.place
    assert status(board).holder is None
    assert not list((folder / "root").rglob(".new-*")), cut.place
