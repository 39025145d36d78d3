"""adbd's shell service, version 2: mksh and toybox, Android's own, of this machine."""

import contextlib
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from android_phone.adbd import Adbd, Stream

    Service = Callable[[Stream, str, Adbd], None]

HEADER = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
SIGNALLED = 0x80


def serve(stream: "Stream", command: str, adbd: "Adbd") -> None:
    system = adbd.root / "system" / "bin"
    process = subprocess.Popen(
        [system / "sh", "-c", adbd.here(command).encode("utf-8", "surrogateescape")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=adbd.root,
        env={"PATH": str(system), "HOME": "/", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    assert process.stdin is not None
    threading.Thread(target=_feed, args=(stream, process), daemon=True).start()
    outputs = [
        threading.Thread(target=_copy, args=(stream, kind, pipe, adbd), daemon=True)
        for kind, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
    ]
    for output in outputs:
        output.start()
    for output in outputs:
        output.join()
    code = process.wait()
    stream.write(HEADER.pack(EXIT, 1) + bytes([code if code >= 0 else SIGNALLED | -code]))


def _feed(stream: "Stream", process: subprocess.Popen[bytes]) -> None:
    from android_phone.adbd import Closed

    assert process.stdin is not None
    with contextlib.suppress(OSError):
        try:
            while True:
                kind, length = HEADER.unpack(stream.read(HEADER.size))
                content = stream.read(length)
                if kind == CLOSE_STDIN:
                    process.stdin.close()
                elif kind == STDIN:
                    process.stdin.write(content)
                    process.stdin.flush()
        except Closed:
            # As adbd does: the shell alone, and politely.
            if process.poll() is None:
                os.kill(process.pid, signal.SIGHUP)


def _copy(stream: "Stream", kind: int, pipe: IO[bytes], adbd: "Adbd") -> None:
    from android_phone.adbd import Closed

    with contextlib.suppress(Closed):
        while chunk := os.read(pipe.fileno(), 32 << 10):
            if kind == STDERR:
                chunk = chunk.replace(str(adbd.root).encode(), b"")
            stream.write(HEADER.pack(kind, len(chunk)) + chunk)
