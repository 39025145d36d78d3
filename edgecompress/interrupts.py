"""Ctrl-C at a moment when Python would lose it, or leave something half done."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

AGAIN_S = 0.1
"""A lost interrupt comes again after so many seconds, when what lost it is over."""


def hear_lost_interrupts() -> None:
    """From here on a KeyboardInterrupt is not lost that is raised where nothing can be, as in a
    callback of the garbage collector: Python only prints such a one, and goes on.
    """
    others = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            others(unraisable)
            return
        # Sent to the thread itself, which may be waiting for something that a mere flag never ends.
        main = threading.main_thread().ident
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook


@contextlib.contextmanager
def held_interrupt() -> Iterator[list[int]]:
    """While open, Ctrl-C is held back, once: who presses it again does not want to wait.

    Yields:
        The signals that came. Whoever opened this raises KeyboardInterrupt if there are any, when
        what is left behind is whole.

    """
    came: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield came
        return

    def hold(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    # A program starts without handlers of ours.
    signal.signal(signal.SIGINT, hold)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
