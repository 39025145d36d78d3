"""How long is waited for what moves bytes: for as long as they move."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from edgecompress.errors import TimedOut

T = TypeVar("T")
Told = Callable[[int], None]
TICK_S = 0.25
TELL_S = 0.75
"""Who is told hears something about once a second, also when nothing moves."""
MUCH_BYTES = 64 << 10
LEAST_BYTES = 4 << 10
"""What is less in one `timeout_s` is no motion, or a peer could take for ever."""


def nobody(_: int) -> None:
    """Is told nothing."""


def stalled(where: str, timeout_s: float) -> str:
    """What is said of a copy that is late."""
    return f"{where}: its next bytes took longer than {timeout_s:g} s"


class Motion:
    """Bytes of one transfer that are known to be on the other side.

    It is late when none moved for `timeout_s`. There is no limit for the whole, so that a slow link
    has its time; how many bytes are taken is limited by who takes them. What moves none, such as a
    command, is late `timeout_s` after it began, or after its input was there.
    """

    def __init__(self, timeout_s: float, late: str, told: Told = nobody, *, start: int = 0) -> None:
        """One that begins now.

        Args:
            timeout_s: how long nothing may move.
            late: what is said then.
            told: hears of bytes once some have moved; perhaps in another thread.
            start: what was there before.

        """
        self.count = self._start = self._marked = start
        self.most: int | None = None
        """How many bytes there are to be moved: what the other side counts beyond is no motion."""
        self._timeout_s = timeout_s
        self._late = late
        self._told = told
        self._since = self._told_at = time.monotonic()

    def at(self, count: int) -> None:
        """So many bytes are there now."""
        if self.most is not None:
            count = min(count, self.most)
        if count <= self.count:
            return
        self.count = count
        if count - self._marked >= LEAST_BYTES:
            self._marked, self._since = count, time.monotonic()
        self.tell()

    def more(self, count: int) -> None:
        """So many bytes besides."""
        self.at(self.count + count)

    def tell(self) -> None:
        self._told_at = time.monotonic()
        self._told(self.count)

    def tick(self) -> None:
        """To be called every TICK_S."""
        if self.count > self._start and time.monotonic() - self._told_at >= TELL_S:
            self.tell()

    def is_under_way(self) -> bool:
        """Whether much may be between here and there."""
        if self.most is None:
            return self.count > self._start
        return self.most - self.count > MUCH_BYTES

    def left_s(self) -> float:
        return self._since + self._timeout_s - time.monotonic()

    def wait_s(self) -> float:
        """How long to wait at once; raises TimedOut when it is late."""
        left = self.left_s()
        if left <= 0:
            raise self.late()
        return min(left, TICK_S)

    def late(self) -> TimedOut:
        return TimedOut(self._late)

    async def follow(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` comes to, or TimedOut; then it has been cancelled, and has ended."""
        if self.left_s() <= 0:
            work.close()
            raise self.late()
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self.wait_s()))[0]:
                self.tick()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
