"""Channel 'documents': what lies in a device's folder, and what it says of its files.

A push, a rollback, `status` and `history` are made over files whose manifests, journals, histories
and locks are right ones, changed; or whose device answers with other names, sizes and hashes.
"""

import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hostile.channel import Channel
from hostile.mutate import ESCAPES, changed_bytes, changed_json
from hostile.printed import printed
from pushing import accept, board_on, release

from edgecompress.cli import device_tables
from edgecompress.errors import DeviceError, StorageError, TransientError
from edgecompress.push import Board, history, lock, push, status, switch
from edgecompress.push.lock import Lock
from edgecompress.transport import LocalTransport
from edgecompress.transport.faulty import Faults, FaultyFiles
from edgecompress.transport.files import KINDS, Kind

T = TypeVar("T")
SAID = f"why {ESCAPES} not \udc80 file"


class Lying(FaultyFiles):
    """Answers otherwise than it is, now and then."""

    def __init__(self, inner: Any, rng: random.Random, rate: float) -> None:
        super().__init__(inner, Faults(seed=0, rate=0.0))
        self._rng, self._rate = rng, rate

    def _said(self, right: Callable[[], T], wrong: Callable[[T], Any]) -> Any:
        if self._rng.random() >= self._rate:
            return right()
        if self._rng.random() < 0.3:
            raise self._rng.choice((DeviceError, StorageError, TransientError))(SAID)
        return wrong(right())

    def size(self, remote: str) -> int | None:
        sizes = (None, 0, -1, 1, 2**63 - 1)
        return self._said(lambda: self.inner.size(remote), lambda _: self._rng.choice(sizes))

    def entries(self, remote: str) -> Mapping[str, Kind]:
        return self._said(lambda: self.inner.entries(remote), self._other_entries)

    def _other_entries(self, right: Mapping[str, Kind]) -> Mapping[str, Kind]:
        found = dict(right)
        for _ in range(self._rng.choice((1, 1, 2, 500))):
            found[self._rng.choice(NAMES) + "0" * self._rng.randrange(3)] = self._rng.choice(KINDS)
        if found and self._rng.random() < 0.4:
            del found[self._rng.choice(list(found))]
        return found

    def read(self, remote: str, limit_bytes: int) -> bytes | None:
        def wrong(right: bytes | None) -> bytes | None:
            return None if right is None or self._rng.random() < 0.1 else self._changed(right)

        found: bytes | None = self._said(lambda: self.inner.read(remote, limit_bytes), wrong)
        return found and found[:limit_bytes]

    def _changed(self, content: bytes) -> bytes:
        return _changed(self._rng, content)

    def sha256(self, remote: str, length: int | None = None, *, timeout_s: float) -> str | None:
        hashes = (None, "", "0" * 64, ESCAPES)
        return self._said(
            lambda: self.inner.sha256(remote, length, timeout_s=timeout_s),
            lambda _: self._rng.choice(hashes),
        )

    def make_folder(self, remote: str) -> bool:
        return self._said(
            lambda: self.inner.make_folder(remote), lambda _: self._rng.choice((True, False))
        )

    def read_link(self, remote: str) -> str | None:
        targets = (None, "", "releases/", "releases/../..", "releases/" + "0" * 16, SAID)
        return self._said(lambda: self.inner.read_link(remote), lambda _: self._rng.choice(targets))

    def free_bytes(self, remote: str) -> int:
        return self._said(
            lambda: self.inner.free_bytes(remote), lambda _: self._rng.choice((0, -1, 2**63 - 1))
        )


NAMES = (
    "0" * 16, "f" * 16, "1", "2", "999999999999999999", "9" * 400, "²", "-1", "", "a/b",
    ESCAPES.replace("\0", ""), "no utf-8 \udcff", "current", "owner.json", "manifest.json",
    "model.onnx", ".new-x",
)  # fmt: skip


class DocumentsChannel(Channel):
    name = "documents"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model, self._manifest = release(folder / "host", b"the next model")
        old, manifest = release(folder / "host", b"the one before")
        older, before = release(folder / "host", b"the very first")
        board = board_on(LocalTransport(folder / "made" / "work", folder / "made" / "root"))
        for model, described in ((older, before), (old, manifest)):
            assert push(board, model, described, accept).outcome == "success"
        # A lock that another machine's process holds.
        held = folder / "made" / "root" / "locks" / "9"
        held.mkdir(parents=True)
        update = {"machine": "another", "renewed": 3, "quiet_s": 3.0}
        owner = Lock(board).owner.model_copy(update=update)
        (held / "owner.json").write_text(owner.model_dump_json())

        self._patch = mock.patch.object(lock, "QUIET_MOST_S", 600.0)
        self._patch.start()
        self.right()

    def close(self) -> None:
        self._patch.stop()

    def right(self) -> None:
        for ask in dict.fromkeys(ASKED):
            ask(self, board_on(self._copied()))

    def _copied(self) -> LocalTransport:
        """The device as it was made."""
        place = self._folder / "device"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._folder / "made", place, symlinks=True)
        return LocalTransport(place / "work", place / "root")

    def answer(self, seed: int) -> object:
        rng = random.Random(seed)
        transport = self._copied()
        root = Path(transport.root)
        lies = rng.random() < 0.5
        if not lies:
            documents = [path for path in root.rglob("*.json") if not path.is_symlink()]
            for path in rng.sample(sorted(documents), rng.choice((1, 1, 2, 4))):
                path.write_bytes(_changed(rng, path.read_bytes()))
        transport.files = Lying(transport.files, rng, rng.choice((0.02, 0.2)) if lies else 0.0)
        if rng.random() < 0.2:
            transport.files.symlinks = False
        board = board_on(transport)
        return rng.choice(ASKED)(self, board)

    def _status(self, board: Board) -> object:
        found = status(board)
        assert json.dumps(found.model_dump(mode="json")).isascii()
        return printed(lambda console: device_tables.status(found, console))

    def _history(self, board: Board) -> object:
        found = history(board)
        assert json.dumps(found.model_dump(mode="json")).isascii()
        return printed(lambda console: device_tables.history(found, console))

    def _push(self, board: Board) -> object:
        found = push(board, self._model, self._manifest, accept)
        assert json.dumps(found.model_dump(mode="json")).isascii()
        return printed(lambda console: device_tables.pushed([found], console))

    def _rollback(self, board: Board) -> object:
        found = switch(board, None)
        return printed(lambda console: device_tables.pushed([found], console))

    def _activate(self, board: Board) -> object:
        (first, *_) = sorted(
            path.name for path in Path(board.path("releases")).iterdir() if path.is_dir()
        )
        found = switch(board, first, unvalidated=True)
        return printed(lambda console: device_tables.pushed([found], console))


# What changes nothing is asked most: it is quick, and most often what a person sees.
ASKED = (
    DocumentsChannel._status,
    DocumentsChannel._status,
    DocumentsChannel._history,
    DocumentsChannel._history,
    DocumentsChannel._push,
    DocumentsChannel._rollback,
    DocumentsChannel._activate,
)


def _changed(rng: random.Random, content: bytes) -> bytes:
    try:
        return changed_json(rng, json.loads(content), rng.choice((1, 1, 2, 4)))
    except ValueError:
        return changed_bytes(rng, content)
