"""One helper that runs on the device, and the frames we speak with it.

The helper's text (devices/helper/helper.py) goes to the device's Python on stdin, so that the only
line its login shell ever sees is the one made here, whatever a path or an argument holds.
"""

import asyncio
import contextlib
import errno
import json
import shlex
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import asyncssh
from pydantic import JsonValue

from edgecompress.bundled import helper_file
from edgecompress.errors import DeviceError, RuntimeMissing, StorageError, TransientError

BOOTSTRAP = (
    "import sys; sys.path = [p for p in sys.path if p];"
    " exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
)
"""The first entry of sys.path is the home folder: a json.py there is not ours to import."""
MAGIC = b"\0edgecompress helper 1\n"
FRAME_BYTES = 4 << 20
CHUNK_BYTES = 1 << 18
END_S = 5.0
HEADER = struct.Struct(">cI")
T = TypeVar("T")
Take = Callable[[bytes, bytes], None]
"""Given the kind and the body of a frame, in another thread than the caller's."""
LOST = (OSError, EOFError, asyncssh.Error)
"""asyncssh's streams raise these when the connection or the channel is gone."""
NO_PYTHON = (126, 127)
"""A shell's exit code when a program cannot be started."""


class Session:
    """Asked one thing at a time. After an exception only `end` is left to call."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], name: str, python: str) -> None:
        self._process = process
        self._name = name
        self._python = python
        self._words = ""
        """What it wrote last to stderr, once it has ended."""

    @classmethod
    async def open(
        cls, connection: asyncssh.SSHClientConnection, name: str, python: str
    ) -> "Session":
        """Start a helper.

        Raises:
            RuntimeMissing: the device has no such Python.
            DeviceError: it lets us in, and runs no commands.
            TransientError: the connection is lost.

        """
        tilde = "~/" if python.startswith("~/") else ""
        # -S: no site packages to search, which takes most of the start.
        command = f"exec {tilde}{shlex.quote(python[len(tilde) :])} -S -c {shlex.quote(BOOTSTRAP)}"
        try:
            process = await connection.create_process(command, encoding=None, request_pty=False)
        except LOST as error:
            raise TransientError(f"{name}: no session could be opened: {error}") from None
        session = cls(process, name, python)
        try:
            source = helper_file().read_bytes()
            await session._write(f"{len(source)}\n".encode() + source)
            await session._greet()
        except BaseException:
            await session.end()
            raise
        return session

    async def request(
        self, operation: str, fields: Mapping[str, JsonValue], payload: bytes, length: int
    ) -> None:
        """`length`: of all that comes behind it; `payload`: what of that is at hand."""
        line = json.dumps({"op": operation, **fields, "length": length})
        await self._write(line.encode() + b"\n" + payload)

    async def answer(self, take: Take | None = None) -> JsonValue:
        """What the request comes to; `take` is given every frame before.

        Raises:
            OSError: what the device's operating system refuses.
            TransientError: the connection is lost.

        """
        while True:
            try:
                kind, length = HEADER.unpack(await self._process.stdout.readexactly(HEADER.size))
                if length > FRAME_BYTES:
                    raise DeviceError(f"{self._name}: the helper there talks nonsense")
                body = await self._process.stdout.readexactly(length)
            except LOST:
                raise await self._lost() from None
            if kind == b"X":
                raise self._refusal(body)
            if kind == b"A":
                return self._json(body)
            if take is not None:
                take(kind, body)

    async def send(self, local: Path, offset: int, length: int) -> None:
        """The bytes behind a request, while somebody reads the frames."""
        try:
            with local.open("rb") as reader:
                reader.seek(offset)
                while length:
                    chunk = reader.read(min(CHUNK_BYTES, length))
                    if not chunk:
                        raise StorageError(f"{local}: became shorter while it was sent")
                    await self._write(chunk)
                    length -= len(chunk)
        except OSError as error:
            raise StorageError(f"{local}: cannot be read: {error.strerror}") from None

    async def end(self) -> None:
        """Close stdin, upon which the helper ends all that it started, and wait for it a little."""
        with contextlib.suppress(*LOST, asyncio.TimeoutError):
            self._process.stdin.write_eof()
            await asyncio.wait_for(self._drain(), END_S)
        self._process.close()

    async def _drain(self) -> None:
        """Read to the end: a helper that is blocked in writing does not see that stdin ended."""
        while await self._process.stdout.read(FRAME_BYTES):
            pass
        await self._process.wait_closed()

    async def _write(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except LOST:
            raise await self._lost() from None

    async def _greet(self) -> None:
        """Pass over what a login shell may say before the helper does."""
        said = b""
        try:
            # More than the window of the channel (2 MiB) is an IncompleteReadError too.
            await self._process.stdout.readuntil(MAGIC)
        except asyncio.IncompleteReadError as error:
            said = error.partial
        except LOST:
            pass
        else:
            return
        lost = await self._lost()
        status = self._process.exit_status
        if status is None:
            raise lost
        words = self._words or _last_line(said) or "it says nothing"
        if status in NO_PYTHON:
            raise RuntimeMissing(
                f"{self._name}: '{self._python}' cannot be started there ({words}); install"
                " Python 3.8 or newer, or give its path as `python` in the inventory"
            )
        raise DeviceError(
            f"{self._name}: '{self._python}' ends with code {status} instead of doing what it is"
            f" given: {words}; it must be Python 3.8 or newer, and the account may run commands"
        )

    async def _lost(self) -> TransientError:
        """Why the stream has ended."""
        with contextlib.suppress(*LOST, asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait_closed(), END_S)
        signalled, status = self._process.exit_signal, self._process.exit_status
        if signalled is not None:
            return TransientError(f"{self._name}: the helper there died of SIG{signalled[0]}")
        if status is not None:
            with contextlib.suppress(*LOST, asyncio.TimeoutError):
                said = await asyncio.wait_for(self._process.stderr.read(FRAME_BYTES), END_S)
                self._words = _last_line(said)
            return TransientError(
                f"{self._name}: the helper there ended with code {status}: {self._words}"
            )
        return TransientError(f"{self._name}: the connection was lost")

    def _refusal(self, body: bytes) -> OSError:
        refusal = expect(self._json(body), dict)
        number = getattr(errno, str(refusal.get("errno")), errno.EIO)
        path = refusal.get("path")
        return OSError(number, str(refusal.get("text")), f"{self._name}:{path}" if path else None)

    def _json(self, body: bytes) -> JsonValue:
        try:
            answer: JsonValue = json.loads(body)
        except ValueError:
            raise DeviceError(f"{self._name}: the helper there talks nonsense") from None
        return answer


def expect(answer: JsonValue, kind: type[T]) -> T:
    """The answer, which has this type if the helper is ours."""
    if not isinstance(answer, kind):
        raise DeviceError(f"the helper on the device answers {answer!r:.80}; is it ours?")
    return answer


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").replace("\0", "").strip().splitlines()
    return lines[-1] if lines else ""
