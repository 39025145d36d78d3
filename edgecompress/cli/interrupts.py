"""Ctrl-C where Python would lose it."""

import _thread
import sys
import threading

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
        again = threading.Timer(AGAIN_S, _thread.interrupt_main)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
