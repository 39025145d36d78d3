"""A program on the device as bytes in both directions, and what it says when it ends."""

import asyncio
import contextlib
from dataclasses import dataclass

import asyncssh

from edgecompress.errors import TransientError
from edgecompress.transport.motion import Told, nobody

LOST = (OSError, EOFError, asyncssh.Error)
"""asyncssh's streams raise these when the connection or the channel is gone."""
END_S = 5.0
READ_BYTES = 1 << 16
WORDS_BYTES = 4 << 10


@dataclass(frozen=True)
class End:
    """What became of a program whose output has ended."""

    how: str
    """In words: of what signal, with what code, or that the connection is gone."""
    status: int | None
    """Its exit code, if it has one."""
    runs_on: bool
    """It only closed its output."""
    words: str
    """What it wrote to stderr last."""


class SshProcess:
    """Its stderr is read all the time, lest it waits for somebody to do so."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], name: str) -> None:
        self._process = process
        self._name = name
        self._stderr = bytearray()
        self._listening = asyncio.ensure_future(self._listen())

    async def read(self, count: int) -> bytes:
        """Some bytes of stdout, at most so many; none at its end, however that came."""
        try:
            return await self._process.stdout.read(count)
        except LOST:
            return b""

    async def read_exactly(self, count: int, got: Told = nobody) -> bytes:
        """`got` is told of each part's bytes as it comes.

        Raises:
            TransientError: it ends before.

        """
        content = bytearray()
        while len(content) < count:
            part = await self.read(count - len(content))
            if not part:
                raise await self.lost()
            content += part
            got(len(part))
        return bytes(content)

    async def write(self, data: bytes) -> None:
        """Raises TransientError when nobody reads on."""
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except LOST:
            raise await self.lost() from None

    def end_stdin(self) -> None:
        with contextlib.suppress(*LOST):
            self._process.stdin.write_eof()

    async def lost(self) -> TransientError:
        """Its end, as what ends a conversation."""
        end = await self.ended()
        said = f": {end.words}" if end.status is not None else ""
        return TransientError(f"{self._name}: {end.how}{said}")

    async def ended(self) -> End:
        """Wait a little for it, once its output has ended."""
        self.end_stdin()
        runs_on = False
        try:
            await asyncio.wait_for(self._process.wait_closed(), END_S)
            await asyncio.wait_for(asyncio.shield(self._listening), END_S)
        except asyncio.TimeoutError:
            runs_on = True
        except LOST:
            pass
        words = last_line(bytes(self._stderr))
        signalled, status = self._process.exit_signal, self._process.exit_status
        if signalled is not None:
            return End(f"the helper there died of SIG{signalled[0]}", None, False, words)
        if status is not None:
            return End(f"the helper there ended with code {status}", status, False, words)
        how = "the helper there fell silent" if runs_on else "the connection was lost"
        return End(how, None, runs_on, words)

    async def end(self) -> None:
        """Close stdin, upon which the helper ends all that it started, and wait for it a little."""
        self.end_stdin()
        with contextlib.suppress(*LOST, asyncio.TimeoutError):
            await asyncio.wait_for(self._drain(), END_S)
        self._process.close()
        self._listening.cancel()

    async def _drain(self) -> None:
        """Read to the end: a helper that is blocked in writing does not see that stdin ended."""
        while await self._process.stdout.read(READ_BYTES):
            pass
        await self._process.wait_closed()

    async def _listen(self) -> None:
        with contextlib.suppress(*LOST):
            while said := await self._process.stderr.read(READ_BYTES):
                self._stderr += said
                del self._stderr[:-WORDS_BYTES]


def last_line(said: bytes) -> str:
    """What to quote of what a program wrote: the last line, or the one that says why."""
    lines = said.decode(errors="replace").replace("\0", "").strip().splitlines()
    telling = [line for line in lines if line.startswith("Fatal Python error")] or lines
    return telling[-1].strip() if telling else ""
