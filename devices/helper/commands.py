"""A command: what it reads, and what it writes while it runs."""

from __future__ import annotations

import contextlib
import io
import os

from .wire import Gone, Request, send


def run(request: Request) -> int:
    """A command in a process group of its own, which ends when the host goes away."""
    # Importing them takes as long as the rest of the start.
    import signal
    import subprocess
    import threading

    content = request.payload()
    argv = request.words("argv")
    argv[0] = os.path.expanduser(argv[0])
    child = subprocess.Popen(
        argv,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=request.path("cwd"),
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stdout, child.stderr:
        # Not joined: what the command leaves behind may hold its stdin and never read.
        threading.Thread(target=_feed, args=(child.stdin, content), daemon=True).start()
        try:
            _forward({child.stdout.fileno(): b"D", child.stderr.fileno(): b"S"})
            return child.wait()
        finally:
            if child.returncode is None:
                # Not reaped yet, so the number is still its own.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _feed(pipe: io.FileIO, content: bytes) -> None:
    left = memoryview(content)
    # It need not read all that it is given.
    with contextlib.suppress(BrokenPipeError), pipe:
        while left:
            left = left[pipe.write(left) :]


def _forward(streams: dict[int, bytes]) -> None:
    """Send what comes out of the pipes until all are closed."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for stream in (0, *streams):
            selector.register(stream, selectors.EVENT_READ)
        while streams:
            for key, _ in selector.select():
                if key.fd == 0:
                    # The host asks nothing while a command runs: this is the end of stdin.
                    raise Gone
                data = os.read(key.fd, 1 << 16)
                if data:
                    send(streams[key.fd], data)
                else:
                    selector.unregister(key.fd)
                    del streams[key.fd]
