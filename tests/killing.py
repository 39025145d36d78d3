"""A SIGKILL of the host before or after any one operation of a push."""

import os
import signal
from collections.abc import Callable
from typing import Literal, TypeVar

from edgecompress.transport.faulty import Fault, Faults, FaultyTransport

T = TypeVar("T")
When = Literal["before", "after"]


class Killing(Faults):
    """Counts operations, and at one of them kills the process that it is in."""

    def __init__(self, at: int | None, when: When = "before") -> None:
        super().__init__(seed=0, rate=0)
        self.at, self.when = at, when
        self.names: list[str] = []

    def apply(self, operation: str, work: Callable[[], T], fault: Fault | None) -> T:
        self.names.append(operation)
        if self.when == "before":
            self._kill()
        result = work()
        if self.when == "after":
            self._kill()
        return result

    def _kill(self) -> None:
        if len(self.names) - 1 == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


Work = Callable[[FaultyTransport], object]


def killed(work: Work, transport: FaultyTransport) -> bool:
    """Do the work in a process of its own; whether that was killed."""
    child = os.fork()
    if child == 0:
        try:
            work(transport)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
