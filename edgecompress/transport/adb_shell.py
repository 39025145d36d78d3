"""A program on an Android device, by the second version of adb's shell protocol.

Packets both ways: an id of one byte, the length of what follows in four, little end first
(packages/modules/adb/shell_protocol.h).
"""

import contextlib
import selectors
import shlex
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from edgecompress.errors import DeviceError, EdgecompressError, TimedOut, TransientError
from edgecompress.transport.adb_link import AdbLink, Stream
from edgecompress.transport.base import STDERR_BYTES, STDOUT_BYTES, Completed, too_large
from edgecompress.transport.motion import Told, nobody

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
HEADER = struct.Struct("<BI")
CHUNK_BYTES = 64 << 10
LINE_BYTES = 32 << 10
"""The server takes 64 KiB, with the name of the service."""
PACKET_BYTES = 1 << 20
"""adbd sends no more at once."""
SESSION_BYTES = 20
"""The line that comes first has no more."""
KILL_S = 5.0
SIGNALLED = 128
"""adbd adds it to the number of the signal that ended the program."""
LAST_SIGNAL = 64


class Command(NamedTuple):
    """One program on the device."""

    argv: Sequence[str]
    """Arrive exactly as they are."""
    timeout_s: float
    stdin: bytes = b""
    workdir: str | None = None
    stdout_bytes: int = STDOUT_BYTES
    """What is more ends it."""
    told: Told = nobody
    """Hears of bytes of stdin that were taken; after the last the deadline begins anew."""


def run(link: AdbLink, command: Command) -> Completed:
    """Run a program.

    The device's adbd gives every command line to a shell, so each argument is quoted. That shell
    becomes the program, in a session of its own, whose number it prints first: closing the
    connection ends only what still writes, so after a time-out the whole session is killed by it.

    Raises:
        DeviceError: the program is not there, or it writes too much.
        TimedOut: it was still running.
        TransientError: the device was lost.

    """
    program = f"{link.name}: '{command.argv[0]}'"
    line = _command_line(command.argv, command.workdir)
    stream = link.open(f"shell,v2,raw:{line}", command.timeout_s, command.told)
    talk = _Talk(stream, command.stdin, command.stdout_bytes)
    try:
        code = talk.finish()
    except TransientError:
        raise
    except TimedOut:
        _kill(link, talk.session())
        raise TimedOut(f"{program} ran longer than {command.timeout_s:g} s") from None
    except _TooMuch:
        _kill(link, talk.session())
        raise DeviceError(too_large(program, command.stdout_bytes)) from None
    except BaseException:
        # Not only errors: Ctrl-C here shall end the program there.
        _kill(link, talk.session())
        raise
    finally:
        stream.close()
    stderr = bytes(talk.outputs[STDERR])
    if talk.session() is None:
        why = stderr.decode(errors="replace").strip() or "there is no such program"
        raise DeviceError(f"{program} cannot be started: {why}")
    _, _, stdout = talk.outputs[STDOUT].partition(b"\n")
    is_signal = SIGNALLED < code <= SIGNALLED + LAST_SIGNAL
    return Completed(SIGNALLED - code if is_signal else code, bytes(stdout), stderr)


def _command_line(argv: Sequence[str], workdir: str | None) -> str:
    if any("\0" in argument for argument in argv):
        raise DeviceError(f"'{argv[0]}' cannot be started: an argument holds a NUL")
    quoted = [shlex.quote(argument) for argument in argv]
    there = f"cd {shlex.quote(workdir)} || exit; " if workdir else ""
    found = f"command -v {quoted[0]} >/dev/null || exit; echo $$; "
    line = f"{there}{found}exec {' '.join(quoted)}"
    if len(line.encode("utf-8", "surrogateescape")) > LINE_BYTES:
        raise DeviceError(f"'{argv[0]}' cannot be started: its arguments are too long for adb")
    return line


def _kill(link: AdbLink, session: int | None) -> None:
    """Whatever may still run; best effort, since the device may be gone."""
    if session is None:
        return
    with contextlib.suppress(EdgecompressError):
        stream = link.open(f"shell,v2,raw:kill -KILL -- -{session}", KILL_S)
        try:
            with contextlib.suppress(EdgecompressError, _TooMuch):
                _Talk(stream, b"", SESSION_BYTES).finish()
        finally:
            stream.close()


class _TooMuch(Exception):
    """More on stdout than is taken."""


class _Talk:
    """Sends what the program reads while it takes what the program writes."""

    def __init__(self, stream: Stream, stdin: bytes, stdout_bytes: int) -> None:
        self._stdout_bytes = SESSION_BYTES + stdout_bytes
        self.outputs = {STDOUT: bytearray(), STDERR: bytearray()}
        self._stream = stream
        self._unsent = memoryview(_packets(stdin))
        self._received = bytearray()
        self._code: int | None = None

    def session(self) -> int | None:
        first, line_break, _ = bytes(self.outputs[STDOUT][:SESSION_BYTES]).partition(b"\n")
        return int(first) if line_break and first.strip().isdigit() else None

    def finish(self) -> int:
        """Until the program ends; its exit code."""
        connection = self._stream.socket
        connection.setblocking(False)
        with selectors.DefaultSelector() as selector:
            while self._code is None:
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
                selector.register(connection, wanted)
                ready = selector.select(self._stream.motion.wait_s())
                selector.unregister(connection)
                self._stream.motion.tick()
                events = ready[0][1] if ready else 0
                if events & selectors.EVENT_WRITE:
                    self._send(connection)
                if events & selectors.EVENT_READ:
                    self._receive(connection)
        return self._code

    def _send(self, connection: socket.socket) -> None:
        try:
            count = connection.send(self._unsent[:CHUNK_BYTES])
            self._unsent = self._unsent[count:]
            self._stream.motion.more(count)
        except BlockingIOError:
            pass
        except OSError:
            # It does not read on; what it says of that is still to come.
            self._unsent = self._unsent[:0]

    def _receive(self, connection: socket.socket) -> None:
        try:
            chunk = connection.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            raise self._stream.lost() from None
        if not chunk:
            raise self._stream.lost()
        self._received += chunk
        while self._code is None and (packet := self._packet()) is not None:
            kind, content = packet
            if kind == EXIT:
                self._code = content[0] if content else SIGNALLED
            elif kind in self.outputs:
                self.outputs[kind] += content
            if len(self.outputs[STDOUT]) > self._stdout_bytes:
                raise _TooMuch
            del self.outputs[STDERR][:-STDERR_BYTES]

    def _packet(self) -> tuple[int, bytes] | None:
        """The next whole one of what was received."""
        if len(self._received) < HEADER.size:
            return None
        kind, length = HEADER.unpack_from(self._received)
        if length > PACKET_BYTES or kind not in (STDOUT, STDERR, EXIT):
            raise DeviceError("the device does not speak adb's shell protocol")
        end = HEADER.size + length
        if len(self._received) < end:
            return None
        content = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        return kind, content


def _packets(stdin: bytes) -> bytes:
    parts = [stdin[at : at + CHUNK_BYTES] for at in range(0, len(stdin), CHUNK_BYTES)]
    framed = [HEADER.pack(STDIN, len(part)) + part for part in parts]
    return b"".join([*framed, HEADER.pack(CLOSE_STDIN, 0)])
