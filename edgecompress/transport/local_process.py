"""A program on the machine we run on: what goes in and comes out, for so long and no more of it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import IO, TypeVar

from edgecompress.interrupts import held_interrupt
from edgecompress.transport.base import STDERR_BYTES, STDOUT_BYTES

T = TypeVar("T")
READ_BYTES = 1 << 16
CLOSE_S = 1.0


class TooMuch(Exception):
    """It wrote more than STDOUT_BYTES."""


class LocalProcess:
    """In a session of its own. `talk` once, then `end`, whatever happened."""

    def __init__(self, argv: Sequence[str], folder: str) -> None:
        """Raises OSError when it cannot be started."""
        self._threads: dict[Thread, IO[bytes]] = {}
        # Else one would be left running, and nobody would know of it.
        with held_interrupt() as came:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                start_new_session=True,
            )
        if came:
            self.end()
            raise KeyboardInterrupt

    def talk(self, stdin: bytes, timeout_s: float) -> tuple[int, bytes, bytes]:
        """Exit code, stdout, and the end of stderr.

        Not by `communicate`, which would keep all that a program without an end writes.

        Raises:
            subprocess.TimeoutExpired: it or one that it started still holds its pipes.
            TooMuch: it wrote too much.

        """
        process, deadline = self._process, time.monotonic() + timeout_s
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        stdout, stderr = bytearray(), bytearray()
        self._start(_feed, process.stdin, stdin)
        readers = (
            self._start(_read_all, process.stdout, stdout),
            self._start(_read_last, process.stderr, stderr),
        )
        for thread in readers:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            if len(stdout) > STDOUT_BYTES:
                raise TooMuch
        code = process.wait(max(0.0, deadline - time.monotonic()))
        return code, bytes(stdout), bytes(stderr)

    def end(self) -> None:
        """Kill what still runs of it and its children, and reap it."""
        process = self._process
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for thread, pipe in self._threads.items():
            thread.join(CLOSE_S)
            # A pipe that is being read cannot be closed; who escaped with its other end has it.
            if not thread.is_alive():
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self, work: Callable[[IO[bytes], T], None], pipe: IO[bytes], data: T) -> Thread:
        thread = Thread(target=work, args=(pipe, data), daemon=True)
        self._threads[thread] = pipe
        thread.start()
        return thread


def _feed(pipe: IO[bytes], stdin: bytes) -> None:
    # Who ends without reading it all had its reasons.
    with contextlib.suppress(OSError):
        pipe.write(stdin)
    with contextlib.suppress(OSError):
        pipe.close()


def _read_all(pipe: IO[bytes], into: bytearray) -> None:
    while len(into) <= STDOUT_BYTES and (chunk := os.read(pipe.fileno(), READ_BYTES)):
        into += chunk


def _read_last(pipe: IO[bytes], into: bytearray) -> None:
    while chunk := os.read(pipe.fileno(), READ_BYTES):
        into += chunk
        del into[:-STDERR_BYTES]
