"""Channel 'helper': a board behind SSH whose helper answers as it likes.

The connection is a fake one, in memory; greeting, frames, JSON, files and the whole of
SshTransport are the real ones.
"""

import asyncio
import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hostile.calls import DEADLINE_S, FileCalls
from hostile.channel import Channel
from hostile.mutate import ENDLESS_CHUNK, changed_bytes, changed_json

from edgecompress.spec.device import Device
from edgecompress.transport import ssh_files, ssh_greeting, ssh_process
from edgecompress.transport.ssh import SshTransport
from edgecompress.transport.ssh_connect import Connector

GREETING = (
    ssh_greeting.SHELL_WORD.encode() + b"\nedgecompress python 3.11\n\0edgecompress helper 1\n"
)
HEADER = struct.Struct(">cI")
LARGE = b"y" * (2 << 20)
"""As large as a frame may be."""
Frame = tuple[bytes, Any]
"""Kind, and bytes or a value in JSON."""


class Stdout:
    """Gives what the generator yields; after it the end, or silence for ever."""

    def __init__(self, chunks: Iterator[bytes | float], silent: bool) -> None:
        self._chunks, self._silent, self._left = chunks, silent, memoryview(b"")

    async def read(self, count: int) -> bytes:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                if self._silent:
                    await asyncio.Event().wait()
                return b""
            # The window of a real channel lets other tasks run too.
            await asyncio.sleep(chunk if isinstance(chunk, float) else 0)
            if isinstance(chunk, bytes):
                self._left = memoryview(chunk)
        taken, self._left = bytes(self._left[:count]), self._left[count:]
        return taken

    async def readexactly(self, count: int) -> bytes:
        content = bytearray()
        while len(content) < count:
            chunk = await self.read(count - len(content))
            if not chunk:
                raise asyncio.IncompleteReadError(bytes(content), count)
            content += chunk
        return bytes(content)


class Stdin:
    def __init__(self, process: "Process") -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        pass

    async def drain(self) -> None:
        pass

    def write_eof(self) -> None:
        self._process.ended.set()


class Process:
    def __init__(self, chunks: Iterator[bytes | float], silent: bool) -> None:
        self.ended = asyncio.Event()
        self.stdout, self.stdin = Stdout(chunks, silent), Stdin(self)
        self.stderr = Stdout(iter([b"words\x1b[31m\n"]), silent=False)
        self.exit_signal, self.exit_status = None, 1

    async def wait_closed(self) -> None:
        await self.ended.wait()

    def close(self) -> None:
        self.ended.set()


class Connection:
    """Every helper that is started on it plays what `script` gives."""

    notes: list[str] = []

    def __init__(self, script: Callable[[], tuple[Iterator[bytes | float], bool]]) -> None:
        self._script = script
        self.connection = self

    def is_closed(self) -> bool:
        return False

    async def create_process(self, *_: object, **__: object) -> Process:
        return Process(*self._script())

    async def close(self) -> None:
        pass


class HelperChannel(FileCalls, Channel):
    name = "helper"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = folder / "source"
        self._source.write_bytes(b"model" * 1000)
        self._playing: tuple[Iterator[bytes | float], bool] = (right([(b"A", "/device")]), False)
        self._patches = [
            mock.patch.object(Connector, "open", self._open),
            mock.patch.object(ssh_process, "END_S", 0.05),
            mock.patch.object(ssh_greeting, "GREETING_S", DEADLINE_S),
            mock.patch.object(ssh_greeting, "END_S", 0.05),
            mock.patch.object(ssh_files, "ANSWER_S", DEADLINE_S),
        ]
        for patch in self._patches:
            patch.start()
        device = Device(id="board", target="local", transport="ssh", address="board")
        self.transport = SshTransport(device)
        self.right()

    def _open(self, *_: object) -> Any:
        async def opened() -> Connection:
            return Connection(lambda: self._playing)

        return opened()

    def right(self) -> None:
        for name, frames in ASKED:
            if frames[0][0] != b"X":
                self._ask(name, right(frames), False)

    def answer(self, seed: int) -> object:
        rng = random.Random(seed)
        name, frames = rng.choice(ASKED)
        return self._ask(name, *played(rng, frames))

    def play(self, chunks: Iterator[bytes | float], silent: bool = False) -> None:
        """What the helper says from now on."""
        self._playing = chunks, silent
        # A helper that waits has the script of before.
        self.transport._link._idle.clear()

    def _ask(self, name: str, chunks: Iterator[bytes | float], silent: bool) -> object:
        self.play(chunks, silent)
        return getattr(self, f"_{name}")()

    def close(self) -> None:
        self.transport.close()
        for patch in self._patches:
            patch.stop()


OK: Frame = (b"A", None)
ASKED: tuple[tuple[str, list[Frame]], ...] = (
    ("size", [(b"A", 1234)]),
    ("entries", [(b"A", [["current", "link"], ["releases", "folder"], ["journal.json", "file"]])]),
    ("read", [(b"D", b'{"schema_version": 1}' * 9), (b"A", True)]),
    ("write", [OK]),
    ("append", [(b"P", b"4096"), (b"P", b"5000"), OK]),
    ("sha256", [(b"A", "0" * 64)]),
    ("make_folder", [(b"A", True)]),
    ("rename", [(b"X", {"errno": "ENOSPC", "text": "No space left on device", "path": "/device"})]),
    ("read_link", [(b"A", "releases/0123")]),
    ("free_bytes", [(b"A", 1 << 30)]),
    ("stat", [(b"A", 77)]),
    ("run", [(b"D", b"out" * 50), (b"S", b"err" * 50), (b"D", b"more"), (b"A", 0)]),
    ("put", [(b"P", b"5000"), OK]),
    ("get", [(b"D", b"d" * 3000), (b"D", b"e" * 3000), OK]),
)


def body_of(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def packed(kind: bytes, body: bytes) -> bytes:
    return HEADER.pack(kind, len(body)) + body


def right(frames: list[Frame]) -> Iterator[bytes | float]:
    yield GREETING
    for kind, value in frames:
        yield packed(kind, body_of(value))


def played(rng: random.Random, frames: list[Frame]) -> tuple[Iterator[bytes | float], bool]:
    """What the helper says, with one thing wrong, and whether it is silent after that."""
    silent = rng.random() < 0.01
    way = rng.randrange(12)
    if way == 0:
        return iter([changed_bytes(rng, GREETING), *list(right(frames))[1:]]), silent
    if way == 1:
        return endless(rng, frames), silent
    if way == 2 and rng.random() < 0.05:
        return trickled(b"".join(map(bytes, right(frames)))), silent
    parts = [(kind, body_of(value)) for kind, value in frames]
    at = rng.randrange(len(parts))
    kind, body = parts[at]
    if way in (3, 4, 5, 6, 7):
        value = frames[at][1]
        body = changed_bytes(rng, value) if isinstance(value, bytes) else changed_json(rng, value)
        parts[at] = (kind, body)
    elif way == 8:
        parts[at] = (rng.choice((b"A", b"X", b"P", b"D", b"S", b"Z", b"\0")), body)
    elif way == 9:
        parts[at:at] = rng.sample(parts, 1) * rng.choice((1, 3, 1000))
    elif way == 10:
        length = rng.choice((0, 1, len(body) + 1, 2 << 20, (2 << 20) + 1, 2**31, 2**32 - 1))
        sent = [packed(*part) for part in parts]
        sent[at] = HEADER.pack(kind, length) + body
        return iter([GREETING, *sent]), silent
    else:
        whole = b"".join(packed(*part) for part in parts)
        return iter([GREETING, changed_bytes(rng, whole)]), silent
    return iter([GREETING, *(packed(*part) for part in parts)]), silent


def endless(rng: random.Random, frames: list[Frame]) -> Iterator[bytes | float]:
    """Frames or bytes without an end."""
    kind = rng.choice((b"D", b"S", b"P", b"A", b"X"))
    body = rng.choice((b"", b"7", b"x" * ENDLESS_CHUNK, LARGE))
    if rng.random() < 0.9:
        yield GREETING
    one = packed(kind, body) if rng.random() < 0.8 else b"[" * ENDLESS_CHUNK
    block = one * max(1, ENDLESS_CHUNK // max(len(one), 1))
    while True:
        yield block


def trickled(content: bytes) -> Iterator[bytes | float]:
    """A byte now and then."""
    for byte in content:
        yield 0.05
        yield bytes([byte])
