"""An event loop in a thread of its own, for libraries that only speak asyncio."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from edgecompress.errors import DeviceError
from edgecompress.transport.motion import Motion

T = TypeVar("T")
CLEANUP_S = 10.0
"""How long a call that was interrupted may take to end what it started."""


class Background:
    """Any thread may call; an interrupt of the caller ends the call, not the loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        # What a task that nobody waits for any more ends with would be printed, device's words too.
        self._loop.set_exception_handler(lambda _, __: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], motion: Motion) -> T:
        """Run `work` to its end.

        Raises:
            TimedOut: it was late, by its `motion`.
            DeviceError: closed already, or meanwhile.

        """
        if self._loop.is_closed():
            work.close()
            raise DeviceError(f"{self._name}: is closed")
        ended = threading.Event()
        future = asyncio.run_coroutine_threadsafe(_followed(work, motion, ended), self._loop)
        try:
            # Its deadline is the loop's to keep; this one is for cleaning up that hangs.
            while (left_s := motion.left_s() + CLEANUP_S) > 0 and not future.done():
                concurrent.futures.wait([future], left_s)
            return future.result(0)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise motion.late() from None
        except concurrent.futures.CancelledError:
            raise DeviceError(f"{self._name}: is closed") from None
        except BaseException:
            # KeyboardInterrupt came to this thread only; `work` has its `finally` to do.
            future.cancel()
            ended.wait(CLEANUP_S)
            raise

    def close(self) -> None:
        """End all calls, then the thread. Never raises."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(CLEANUP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLEANUP_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _followed(work: Coroutine[Any, Any, T], motion: Motion, ended: threading.Event) -> T:
    try:
        return await motion.follow(work)
    finally:
        ended.set()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
