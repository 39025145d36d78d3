"""Releases, boards without waiting, and what must hold of a device at every moment."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecompress.artifact import TensorInfo, sha256_of
from edgecompress.errors import TransientError
from edgecompress.push import Board, Manifest, make_folders
from edgecompress.transport import LocalTransport, Transport


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Ticking(Board):
    """A device whose owner changes its lock as time goes by; what is waited for is noted."""

    def __init__(self, folder: Path) -> None:
        self.ticks = Clock()
        super().__init__(local(folder), self.ticks.sleep, self.ticks)
        make_folders(self)


def board_on(transport: Transport) -> Board:
    clock = Clock()
    return Board(transport, sleep=clock.sleep, clock=clock)


def local(folder: Path) -> LocalTransport:
    return LocalTransport(folder / "work", folder / "root")


def release(folder: Path, content: bytes) -> tuple[Path, Manifest]:
    """A file here that stands for a model; the push does not look inside."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / f"{hashlib.sha256(content).hexdigest()[:8]}.onnx"
    model.write_bytes(content)
    tensor = TensorInfo(name="x", shape=("N", 3), dtype="float32")
    return model, Manifest(
        file="model.onnx",
        format="onnx",
        sha256=sha256_of(model),
        size_bytes=len(content),
        target="local",
        recipe_digest="0" * 64,
        inputs=(tensor,),
        outputs=(tensor,),
    )


def failing(board: Board, name: str, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """From now on every call of that method of the board's files loses the connection."""
    calls: list[object] = []

    def fail(*arguments: object, **_: object) -> None:
        calls.append(arguments)
        raise TransientError("the way to it broke")

    monkeypatch.setattr(board.files, name, fail)
    return calls


def accept(_: str, __: Callable[[], None]) -> None:
    """Every model is good enough."""


def opened(root: Path) -> str | None:
    """What an application finds: the id of the release behind `current`, read byte by byte.

    Raises AssertionError when it finds half of one.
    """
    current = root / "current"
    if not current.is_symlink():
        if not current.exists():
            return None
        current = root / "releases" / current.read_text()
    manifest = Manifest.model_validate_json((current / "manifest.json").read_text())
    content = (current / manifest.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == manifest.sha256
    assert len(content) == manifest.size_bytes
    assert manifest.id == current.resolve().name
    return manifest.id


def documents(root: Path) -> Iterator[tuple[str, object]]:
    """Every JSON file of ours, parsed: none may be half-written."""
    for path in root.rglob("*.json"):
        if ".new-" not in str(path):
            yield str(path.relative_to(root)), json.loads(path.read_text())


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """In memory where there is such a place: thousands of fsyncs take minutes on a disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    place = memory if os.access(memory, os.W_OK) else otherwise
    with tempfile.TemporaryDirectory(dir=place, prefix="edgecompress-") as folder:
        yield Path(folder)
