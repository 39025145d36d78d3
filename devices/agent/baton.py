"""Whose burst it is, where several processes are measured side by side; see `together`."""

from __future__ import annotations

import os
from typing import BinaryIO

BESIDE = "beside_others"
"""The key of a request for a process that is to wait for its bursts."""
READY, MORE, ENOUGH = b"ready\n", b"more\n", b"enough\n"
"""What a process says when it has warmed up, and after each of its bursts."""
GO, END = b"go\n", b"end\n"
"""What it is told: run a burst, or come to an end."""


class Baton:
    """The process runs while it holds it, and sleeps while it does not."""

    def __init__(self, told: BinaryIO, tell_fd: int) -> None:
        self._told = told
        self._tell_fd = tell_fd

    def pass_on(self, word: bytes) -> bool:
        """Let others run, until it comes back; false: there are no more bursts.

        Where nobody is left who could pass it back, the process comes to its end too.
        """
        os.write(self._tell_fd, word)
        return self._told.readline() == GO
