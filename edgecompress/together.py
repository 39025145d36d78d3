"""Several devices at once: what becomes of one is its own, and an interrupt loses no result."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from edgecompress.errors import EXIT_INTERRUPTED, EdgecompressError

D = TypeVar("D")
T = TypeVar("T")
AT_ONCE = 8
"""More would share one network and this machine's disk."""


class Interrupted(EdgecompressError):
    """The user wants an end; raised where what is done to a device can be undone."""

    exit_code = EXIT_INTERRUPTED


class Stop:
    """Whether an interrupt came; who works asks at each step that can be turned back from."""

    def __init__(self) -> None:
        self._came = threading.Event()

    def come(self) -> None:
        self._came.set()

    @property
    def has_come(self) -> bool:
        return self._came.is_set()

    def check(self) -> None:
        """Raises Interrupted when it came."""
        if self.has_come:
            raise Interrupted("interrupted; the same command again goes on from there")


class Gathered(NamedTuple, Generic[T]):
    results: tuple[T, ...]
    """One of each device, in their order."""
    interrupted: bool


def together(
    devices: Sequence[D],
    work: Callable[[D, Stop], T],
    otherwise: Callable[[D, BaseException | None], T],
    turning_back: Callable[[], None] | None = None,
) -> Gathered[T]:
    """Work on devices, a few at a time, and wait for all.

    Args:
        devices: each gets a result, whatever happens.
        work: on one device, in a thread of its own.
        otherwise: the result of one whose work raised something, or None: was not begun before an
            interrupt.
        turning_back: called at the first interrupt. Then no device is begun any more, and those at
            work are waited for, which turn back when they ask `Stop`. None: they are left at once,
            as at a second interrupt; a kill leaves no more behind.

    Raises:
        KeyboardInterrupt: the interrupt at which devices at work are left.

    """
    results: dict[int, T] = {}
    stop, waiting, changed = Stop(), iter(enumerate(devices)), threading.Condition()

    def one(device: D) -> T:
        if stop.has_come:
            return otherwise(device, None)
        try:
            return work(device, stop)
        # Not Exception: a library that exits would end the thread, and be waited for for ever.
        except BaseException as error:
            return otherwise(device, error)

    def serve() -> None:
        while True:
            with changed:
                number, device = next(waiting, (-1, None))
            if device is None:
                return
            result = one(device)
            with changed:
                results[number] = result
                changed.notify()

    def wait() -> None:
        with changed:
            changed.wait_for(lambda: len(results) == len(devices))

    try:
        # Not a pool of the library's, whose threads are waited for even when the program ends.
        for _ in range(min(AT_ONCE, len(devices))):
            threading.Thread(target=serve, daemon=True).start()
        wait()
    except KeyboardInterrupt:
        stop.come()
        if turning_back is None:
            raise
        turning_back()
        # Those that are not begun get their results here: no thread may have been started yet.
        serve()
        wait()
    return Gathered(tuple(results[number] for number in range(len(devices))), stop.has_come)
