"""Several devices at once: what becomes of one is its own, and an interrupt loses no result."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgecompress.defect import told_as_defect
from edgecompress.errors import EXIT_INTERRUPTED, EdgecompressError
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Pushed

AT_ONCE = 8
"""Devices that are sent to at the same time: more would share one network and this disk."""


class Interrupted(EdgecompressError):
    """The user wants an end; raised where a device's push can be undone."""

    exit_code = EXIT_INTERRUPTED


class Stop:
    """Whether an interrupt came; the pushes ask at each step that they can turn back from."""

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


class Gathered(NamedTuple):
    pushed: tuple[Pushed, ...]
    """Of all devices, in their order."""
    interrupted: bool


def side_by_side(
    devices: Sequence[Device],
    release: str,
    push: Callable[[Device, Stop], Pushed],
    note: Callable[[str], None],
) -> Gathered:
    """Push to devices, a few at a time, and wait for all.

    At the first interrupt no further device is begun, and those at work turn back at their next
    step: a command that runs on a device, and what has been validated, is brought to its end. The
    second interrupt leaves everything as a kill would; the next push puts it in order.

    Args:
        devices: each gets a result, whatever happens.
        release: that is pushed.
        push: to one device, in a thread of its own.
        note: a line for the user.

    Raises:
        KeyboardInterrupt: the second one.

    """
    results: dict[int, Pushed] = {}
    stop, waiting, changed = Stop(), iter(enumerate(devices)), threading.Condition()

    def work() -> None:
        while True:
            with changed:
                number, device = next(waiting, (0, None))
            if device is None:
                return
            result = _result(device, release, push, stop)
            with changed:
                results[number] = result
                changed.notify()

    def wait() -> None:
        with changed:
            changed.wait_for(lambda: len(results) == len(devices))

    try:
        # Not a pool of the library's, whose threads are waited for even when the program ends.
        for _ in range(min(AT_ONCE, len(devices))):
            threading.Thread(target=work, daemon=True).start()
        wait()
    except KeyboardInterrupt:
        stop.come()
        note("interrupted: devices at work turn back at their next step; once more leaves them")
        # Those that are not begun get their results here: no thread may have been started yet.
        work()
        wait()
    return Gathered(tuple(results[number] for number in range(len(devices))), stop.has_come)


def unknown(device: str, release: str, error: BaseException) -> Pushed:
    """After an exception that nobody meant, how far the push came is not known."""
    look = f"what is active there: edgecompress status {device}"
    return Pushed(
        device=device,
        outcome="inconsistent",
        release=release,
        active=None,
        reasons=(f"{told_as_defect(error)}; {look}",),
    )


def _result(
    device: Device, release: str, push: Callable[[Device, Stop], Pushed], stop: Stop
) -> Pushed:
    if stop.has_come:
        reasons = ("interrupted before it was begun",)
        return Pushed(
            device=device.id,
            outcome="rolled_back",
            release=release,
            active=None,
            reasons=reasons,
        )
    try:
        return push(device, stop)
    except Exception as error:
        return unknown(device.id, release, error)
