"""One helper that runs on the device, and the frames we speak with it.

The helper's text (devices/helper/) goes to the device's Python on stdin, so that the only
line its login shell ever sees is the one made here, whatever a path or an argument holds.
"""

import asyncio
import errno
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import asyncssh
from pydantic import JsonValue

from edgecompress.errors import DeviceError, StorageError, TransientError
from edgecompress.spec.untrusted import NotJson, read_json
from edgecompress.transport.motion import Motion, nobody
from edgecompress.transport.ssh_greeting import Greeting, command_line
from edgecompress.transport.ssh_process import LOST, SshProcess
from edgecompress.transport.ssh_program import helper_program

FRAME_BYTES = 2 << 20
"""The helper sends blocks of half of that."""
CHUNK_BYTES = 1 << 18
HEADER = struct.Struct(">cI")
WITHOUT_DATA = (b"A", b"X", b"P")
PARTS = (*WITHOUT_DATA, b"D", b"S")
"""Kinds of frames; the last two only where somebody takes them."""
COUNT_DIGITS = 19
NUMBERS = {name: number for number, name in errno.errorcode.items()}
T = TypeVar("T")
Take = Callable[[bytes, bytes], None]
"""Given the kind and the body of a frame, in another thread than the caller's."""


class Session:
    """Asked one thing at a time. After an exception only `end` is left to call."""

    def __init__(self, process: SshProcess, name: str) -> None:
        self._process = process
        self._name = name

    @classmethod
    async def open(
        cls, connection: asyncssh.SSHClientConnection, name: str, python: str
    ) -> "Session":
        """Start a helper.

        Raises:
            RuntimeMissing, DeviceError: as `Greeting.pass_over`.
            TransientError: the connection is lost.

        """
        line = command_line(python)
        try:
            started = await connection.create_process(line, encoding=None, request_pty=False)
        except LOST as error:
            raise TransientError(f"{name}: no session could be opened: {error}") from None
        process = SshProcess(started, name)
        try:
            await Greeting(process, name, python).pass_over(helper_program())
        except BaseException:
            await process.end()
            raise
        return cls(process, name)

    async def request(
        self, operation: str, fields: Mapping[str, JsonValue], payload: bytes, length: int
    ) -> None:
        """`length`: of all that comes behind it; `payload`: what of that is at hand."""
        line = json.dumps({"op": operation, **fields, "length": length})
        await self._process.write(line.encode() + b"\n" + payload)

    async def answer(
        self, motion: Motion, take: Take | None = None, *, fetches: bool = False
    ) -> JsonValue:
        """What the request comes to.

        Args:
            motion: of the bytes behind the request, or with `fetches` of those that come.
            take: given every frame before; None: there should be none.
            fetches: the request is for a file.

        Raises:
            OSError: what the device's operating system refuses.
            TransientError: the connection is lost.
            DeviceError: it does not speak as our helper does.

        """
        while True:
            # What is in the buffer already is read without a pause: of tiny frames that would be
            # seconds in which nobody looks at the deadline.
            await asyncio.sleep(0)
            kind, length = HEADER.unpack(await self._process.read_exactly(HEADER.size))
            if length > FRAME_BYTES or kind not in (PARTS if take else WITHOUT_DATA):
                raise self._nonsense(f"a frame {kind!r} of {length} bytes")
            got = motion.more if fetches and kind == b"D" else nobody
            body = await self._process.read_exactly(length, got)
            if kind == b"X":
                raise self._refusal(body)
            if kind == b"A":
                return self._json(body)
            if kind == b"P":
                motion.at(progress(body))
            elif take is not None:
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
                    await self._process.write(chunk)
                    length -= len(chunk)
        except OSError as error:
            raise StorageError(f"{local}: cannot be read: {error.strerror}") from None

    async def end(self) -> None:
        await self._process.end()

    def _refusal(self, body: bytes) -> OSError:
        refusal = expect(self._json(body), dict)
        number = NUMBERS.get(str(refusal.get("errno")), errno.EIO)
        path = refusal.get("path")
        return OSError(number, str(refusal.get("text")), f"{self._name}:{path}" if path else None)

    def _json(self, body: bytes) -> JsonValue:
        try:
            return read_json(body, FRAME_BYTES)
        except NotJson as error:
            raise self._nonsense(str(error)) from None

    def _nonsense(self, what: str) -> DeviceError:
        return DeviceError(
            f"{self._name}: the helper there talks nonsense: {what}; does a start-up file of the"
            " login shell leave a program running that prints?"
        )


def progress(body: bytes) -> int:
    """Bytes of a file that are written, by a P frame."""
    if len(body) > COUNT_DIGITS or not body.isdigit():
        raise DeviceError(f"the helper on the device counts {body[:40]!r} bytes; is it ours?")
    return int(body)


def expect(answer: JsonValue, kind: type[T]) -> T:
    """The answer, which has this type if the helper is ours."""
    # Not isinstance, because True is no number of bytes.
    if type(answer) is not kind:
        raise DeviceError(f"the helper on the device answers {answer!r:.80}; is it ours?")
    return answer
