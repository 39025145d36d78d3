"""Files of an Android device by adb's sync protocol: whole ones, with exact names.

Requests and answers: four letters and four bytes, little end first (packages/modules/adb,
SYNC.TXT). adbutils has these too, but waits for ever for a device that does not answer, and does
not say why one refuses.
"""

import select
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from edgecompress.errors import DeviceError, TransientError
from edgecompress.transport.adb_link import AdbLink, Stream
from edgecompress.transport.motion import Told, nobody

CHUNK_BYTES = 64 << 10
"""The most that the protocol takes at once."""
BUFFER_BYTES = 256 << 10
"""The system takes no more of an upload ahead of the adb server, so that what was taken is nearly
there.
"""
PATH_BYTES = 1024
WORD = struct.Struct("<4sI")
STAT = struct.Struct("<III")
ENTRY = struct.Struct("<4sIIII")
MESSAGE_BYTES = 64 << 10
NAME_BYTES = 1024
ENTRIES = 20_000
"""The most in a folder: one of ours has a few."""


class Refusal(Exception):
    """What the device says of a file that it does not take or give."""


class Stat(NamedTuple):
    mode: int
    size_bytes: int
    """True of a file below 4 GiB."""


def stat_of(link: AdbLink, remote: str, timeout_s: float) -> Stat | None:
    """None when there is nothing of that name, or nothing that may be seen."""
    with _requested(link, b"STAT", remote, timeout_s) as stream:
        _expect(stream.read(4), b"STAT")
        mode, size, _ = STAT.unpack(stream.read(STAT.size))
    return Stat(mode, size) if mode else None


def entries_in(link: AdbLink, remote: str, timeout_s: float) -> dict[str, int]:
    """Names and modes (of links themselves), sorted; none when there is no such folder."""
    found: dict[str, int] = {}
    with _requested(link, b"LIST", remote, timeout_s) as stream:
        for _ in range(ENTRIES):
            word, mode, _, _, length = ENTRY.unpack(stream.read(ENTRY.size))
            if word == b"DONE":
                break
            _expect(word, b"DENT")
            if length > NAME_BYTES:
                raise DeviceError(f"{link.name}: a name of {length} bytes in {remote}")
            found[_read_text(stream, length)] = mode
        else:
            raise DeviceError(f"{link.name}: more than {ENTRIES} entries in {remote}")
    return {name: found[name] for name in sorted(found) if name not in (".", "..")}


def send(link: AdbLink, reader: BinaryIO, remote: str, timeout_s: float, sent: Told) -> None:
    """Write all that `reader` gives to `remote`, from its beginning.

    Raises:
        Refusal: in the device's words.

    """
    named = f"{remote},{stat.S_IFREG | 0o644}"
    with _requested(link, b"SEND", named, timeout_s, sent) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        while not _answers(stream) and (chunk := reader.read(CHUNK_BYTES)):
            try:
                stream.write(WORD.pack(b"DATA", len(chunk)) + chunk)
            except TransientError:
                if not _answers(stream):
                    raise
                break
            stream.motion.more(len(chunk))
        else:
            if not _answers(stream):
                stream.write(WORD.pack(b"DONE", int(time.time())))
        word, length = WORD.unpack(stream.read(WORD.size))
        if word == b"FAIL":
            raise Refusal(_read_text(stream, length))
        _expect(word, b"OKAY")


def receive(link: AdbLink, remote: str, timeout_s: float, got: Told) -> Iterator[bytes]:
    """The content, in pieces; `got` is told of its bytes.

    Raises:
        Refusal: in the device's words.

    """
    with _requested(link, b"RECV", remote, timeout_s, got) as stream:
        while True:
            word, length = WORD.unpack(stream.read(WORD.size))
            if word == b"DONE":
                return
            if word == b"FAIL":
                raise Refusal(_read_text(stream, length))
            _expect(word, b"DATA")
            if length > CHUNK_BYTES:
                raise DeviceError(f"{link.name}: does not speak adb's sync protocol")
            yield stream.read(length)
            stream.motion.more(length)


@contextmanager
def _requested(
    link: AdbLink, word: bytes, path: str, timeout_s: float, told: Told = nobody
) -> Iterator[Stream]:
    encoded = path.encode("utf-8", "surrogateescape")
    if b"\0" in encoded or len(encoded) > PATH_BYTES:
        raise DeviceError(f"{path[:80]!r}: is no path that adb takes")
    stream = link.open("sync:", timeout_s, told)
    try:
        stream.write(WORD.pack(word, len(encoded)) + encoded)
        yield stream
    finally:
        stream.close()


def _answers(stream: Stream) -> bool:
    """Whether something may be read: an answer before the end is a refusal."""
    return bool(select.select([stream.socket], [], [], 0)[0])


def _read_text(stream: Stream, length: int) -> str:
    return stream.read(min(length, MESSAGE_BYTES)).decode("utf-8", "surrogateescape")


def _expect(word: bytes, expected: bytes) -> None:
    if word != expected:
        raise DeviceError(f"the device answers {word!r} where adb's protocol has {expected!r}")
