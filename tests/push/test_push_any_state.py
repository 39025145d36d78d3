"""Whatever lies in a device's folder: one push ends with a whole model, or names what to remove.

A push is killed before or after one of its operations, then one file, link or folder that lies
there is damaged in one way. `--states 5000` tries so many of each kind of pointer.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from killing import Killing, When, killed
from pushing import accept, board_on, local, opened, quick_folder, release

from edgecompress.errors import Refused
from edgecompress.push import Alive, Manifest, Pushed, push, status
from edgecompress.transport.faulty import FaultyTransport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

MINE = b"the user's own"

Damage = Callable[[Path, Path], None]
"""Given the path, and a folder of the user's outside."""


def flipped(path: Path, _: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << len(content) % 8
    path.write_bytes(content)


def missing(path: Path, _: Path) -> None:
    _gone(path)


def empty(path: Path, _: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_folder(path: Path, _: Path) -> None:
    _gone(path)
    path.mkdir()
    (path / "mine.txt").write_bytes(MINE)


def a_file(path: Path, _: Path) -> None:
    _gone(path)
    path.write_bytes(MINE)


def a_pipe(path: Path, _: Path) -> None:
    _gone(path)
    os.mkfifo(path)


def a_link_to_a_file(path: Path, outside: Path) -> None:
    _gone(path)
    path.symlink_to(outside / "mine.txt")


def a_link_to_a_folder(path: Path, outside: Path) -> None:
    """With what was there, so that what follows the link finds it and could write to it."""
    kept = outside / "folder"
    if path.is_dir() and not path.is_symlink():
        path.rename(kept)
    else:
        _gone(path)
        kept.mkdir()
    path.symlink_to(kept)


def a_link_to_nothing(path: Path, outside: Path) -> None:
    _gone(path)
    path.symlink_to(outside / "nothing")


OF_FILES: tuple[Damage, ...] = (flipped, missing, empty, truncated, a_folder, a_pipe)
OF_LINKS: tuple[Damage, ...] = (missing, a_file, a_folder)
OF_FOLDERS: tuple[Damage, ...] = (missing, a_file)
FOREIGN: tuple[Damage, ...] = (a_link_to_a_file, a_link_to_a_folder, a_link_to_nothing)


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def damages(root: Path) -> Iterator[tuple[Path, Damage]]:
    for path in sorted(root.rglob("*")):
        own = OF_LINKS if path.is_symlink() else OF_FOLDERS if path.is_dir() else OF_FILES
        if path.is_file() and not path.is_symlink() and path.stat().st_size == 0:
            own = (missing, a_folder, a_pipe)
        for damage in (*own, *FOREIGN):
            yield path.relative_to(root), damage


def all_of(folder: Path) -> dict[str, bytes | str]:
    """What lies in a folder of the user's."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def whole(root: Path) -> str | None:
    """The release that an application can open, None where it finds none or half of one."""
    current = root / "current"
    try:
        for name in ("current", "current/manifest.json", "current/model.onnx"):
            if (root / name).is_fifo():
                # An application would wait for ever.
                return None
        if current.is_file():
            release = root / "releases" / current.read_text()
            if any(path.is_fifo() for path in release.iterdir()):
                return None
        return opened(root)
    except (OSError, ValueError, AssertionError):
        return None


@dataclass(frozen=True)
class State:
    """A device's folder after a kill, of which copies are damaged."""

    base: Path
    links: bool
    new: tuple[Path, Manifest]
    other: tuple[Path, Manifest]

    def check(self, at: Path, damage: Damage, where: str) -> str:
        """Damage a copy at one place, and push: what came of it."""
        folder = self.base / "tried"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base / "killed", folder, symlinks=True)
        root, outside = folder / "root", folder / "outside"
        outside.mkdir()
        (outside / "mine.txt").write_bytes(MINE)
        path = root / at
        damage(path, outside)
        mine = all_of(outside)
        was_active = whole(root)
        said = self._push(folder, self.other, refuse)
        assert said.outcome != "success", where
        assert whole(root) == was_active or was_active is None, where
        pushed = self._push(folder, self.new, accept)
        assert all_of(outside) == mine, where
        if path.is_dir() and (path / "mine.txt").exists():
            assert (path / "mine.txt").read_bytes() == MINE, where
        if pushed.outcome == "success":
            assert whole(root) == self.new[1].id, where
            return "converged"
        assert str(path) in pushed.reasons[0], (where, pushed.reasons)
        assert whole(root) == was_active or was_active is None, where
        assert path.is_symlink() or path.exists(), (where, pushed.reasons)
        _gone(path)
        assert self._push(folder, self.new, accept).outcome == "success", where
        assert whole(root) == self.new[1].id, where
        return "named"

    def _push(
        self, folder: Path, what: tuple[Path, Manifest], validate: Callable[[str, Alive], None]
    ) -> Pushed:
        transport = local(folder)
        transport.files.symlinks = self.links
        board = board_on(transport)
        status(board)  # It must tell of any state, and change none.
        return push(board, *what, validate)


def refuse(_: str, __: Alive) -> None:
    raise Refused("accuracy is 0.71 on 500 samples, 0.89 here")


@pytest.mark.parametrize("links", [True, False], ids=["links", "files"])
def test_from_any_state_one_push_ends_with_a_whole_model_or_names_what_to_remove(
    links: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    states = request.config.getoption("--states")
    first, old, new, other = (release(tmp_path, name * 50) for name in (b"1", b"2", b"3", b"4"))

    def begin(folder: Path, faults: Killing) -> FaultyTransport:
        transport = local(folder)
        transport.files.symlinks = links
        for each in (first, old):
            assert push(board_on(transport), *each, accept).outcome == "success"
        return FaultyTransport(transport, faults)

    tried: dict[str, int] = {"converged": 0, "named": 0}
    with quick_folder(tmp_path) as base:
        count = Killing(None)
        assert push(board_on(begin(base / "count", count)), *new, accept).outcome == "success"
        places: list[tuple[int, When]] = [
            (at, when) for at in range(len(count.names)) for when in ("before", "after")
        ]
        for number, (at, when) in enumerate(places):
            wanted = (number + 1) * states // len(places) - number * states // len(places)
            if not wanted:
                continue
            shutil.rmtree(base / "killed", ignore_errors=True)
            transport = begin(base / "killed", Killing(at, when))
            assert killed(lambda there: push(board_on(there), *new, accept), transport)
            state, found = State(base, links, new, other), list(damages(base / "killed" / "root"))
            for place, damage in Random(number).sample(found, min(wanted, len(found))):
                where = f"{when} {at} ({count.names[at]}): {damage.__name__} at {place}"
                tried[state.check(place, damage, where)] += 1
    assert min(tried.values()) >= 10
    print(f"{'links' if links else 'files'}: {tried}, from {len(places)} places to be killed")
