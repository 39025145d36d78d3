"""A connection that is opened again when it was lost, and its helpers, as blocking calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import JsonValue

from edgecompress.errors import TransientError
from edgecompress.spec.device import Device
from edgecompress.transport.background import Background
from edgecompress.transport.base import size_of
from edgecompress.transport.motion import Motion
from edgecompress.transport.ssh_connect import CONNECT_S, Connected, Connector
from edgecompress.transport.ssh_session import Session, Take, expect

OPEN_S = 180.0
"""For all that a first answer takes, each with a deadline of its own."""


class SshLink:
    """What the device's operating system refuses is an OSError here; its users explain it.

    Several threads may call at once: each call has a helper of its own, which then waits for the
    next call.
    """

    def __init__(self, device: Device, python: str) -> None:
        self._connector = Connector(device)
        self.name = str(self._connector.route)
        self.notes: list[str] = []
        self._python = python
        self._opening = asyncio.Lock()
        self._connected: Connected | None = None
        self._idle: list[Session] = []
        self._background = Background(self.name)

    def ask(
        self,
        operation: str,
        fields: Mapping[str, JsonValue],
        motion: Motion,
        payload: bytes = b"",
        take: Take | None = None,
    ) -> JsonValue:
        """The helper's answer.

        Args:
            operation: a name of the helper's.
            fields: its arguments.
            motion: of the payload, until all of it is there.
            payload: bytes behind the request.
            take: given what comes before the answer; None: nothing should.

        Raises:
            OSError: what the device's operating system refuses.
            TimedOut, TransientError, DeviceError: as Transport says.

        """
        motion.most = motion.count + len(payload)

        async def work() -> JsonValue:
            async with self._session(motion) as session:
                await session.request(operation, fields, payload, len(payload))
                return await session.answer(motion, take)

        return self._background.call(work(), motion)

    def fetch(self, remote: str, motion: Motion, take: Take) -> None:
        """A file there, given to `take` as it comes; raises what `ask` does."""

        async def work() -> None:
            async with self._session(motion) as session:
                await session.request("get", {"path": remote}, b"", 0)
                await session.answer(motion, take, fetches=True)

        self._background.call(work(), motion)

    def send(
        self,
        operation: str,
        fields: Mapping[str, JsonValue],
        local: Path,
        offset: int,
        motion: Motion,
    ) -> None:
        """A request with the rest of a file behind it; raises what `ask` does."""

        async def work() -> None:
            length = max(0, size_of(local) - offset)
            motion.most = offset + length
            async with self._session(motion) as session:
                await session.request(operation, fields, b"", length)
                answer = asyncio.ensure_future(session.answer(motion))
                try:
                    await session.send(local, offset, length)
                    await answer
                except TransientError:
                    # A helper that reads no more may have said why.
                    await answer
                    raise
                finally:
                    answer.cancel()
                    await asyncio.wait([answer])

        self._background.call(work(), motion)

    def open(self, root: str, work: str) -> str:
        """The root's absolute path; it and its folder `work` are made."""
        late = f"{self.name}: did not answer within {OPEN_S:g} s of connecting"
        fields = {"root": root, "work": work}
        return expect(self.ask("prepare", fields, Motion(OPEN_S, late)), str)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._background.call(self._disconnect(), Motion(CONNECT_S, ""))
        self._background.close()

    @asynccontextmanager
    async def _session(self, motion: Motion) -> AsyncIterator[Session]:
        session = await self._ready()
        try:
            yield session
        except BaseException:
            if motion.is_under_way():
                # What is on its way to nobody would hold up the next call: a minute on a slow link.
                await self._disconnect()
            await session.end()
            raise
        self._idle.append(session)

    async def _ready(self) -> Session:
        """A helper that waits, or a new one, over a new connection where the old one is lost."""
        async with self._opening:
            if self._connected is None or self._connected.connection.is_closed():
                await self._disconnect()
                self._connected = await self._connector.open()
                self.notes += self._connected.notes
            connection = self._connected.connection
        if self._idle:
            return self._idle.pop()
        return await Session.open(connection, self.name, self._python)

    async def _disconnect(self) -> None:
        self._idle.clear()
        if self._connected is not None:
            connected, self._connected = self._connected, None
            await connected.close()
