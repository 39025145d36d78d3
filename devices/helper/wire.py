"""Requests as they come in, and frames as they go out."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import time
from collections.abc import Iterator

BLOCK_BYTES = 1 << 20
PROGRESS_BYTES = 4 << 20
PROGRESS_S = 0.5
HEADER = struct.Struct(">cI")


class Gone(Exception):
    """The host has closed stdin within a request."""


class Request:
    def __init__(self, fields: dict[str, object], stdin: io.BufferedIOBase) -> None:
        self._fields = fields
        self.stdin = stdin

    def text(self, key: str) -> str:
        return str(self._fields[key])

    def count(self, key: str) -> int:
        return int(self.text(key))

    def optional(self, key: str) -> int | None:
        return None if self._fields[key] is None else self.count(key)

    def path(self, key: str = "path") -> bytes:
        return self.text(key).encode("utf-8", "surrogateescape")

    def words(self, key: str) -> list[bytes]:
        words = self._fields[key]
        assert isinstance(words, list)
        return [word.encode("utf-8", "surrogateescape") for word in words]

    def arriving(self, offset: int = 0) -> Iterator[memoryview]:
        """The bytes behind the request, in large blocks where they come quickly.

        The host is told how far it has got whenever a block has been dealt with and it is time.
        """
        block = memoryview(bytearray(BLOCK_BYTES))
        end, told, told_at = offset + self.count("length"), offset, time.monotonic()
        while offset < end:
            filled, limit = 0, min(BLOCK_BYTES, end - offset)
            while filled < limit and (not filled or time.monotonic() - told_at < PROGRESS_S):
                count = self.stdin.readinto1(block[filled:limit])
                if not count:
                    raise Gone
                filled += count
            yield block[:filled]
            offset += filled
            late = time.monotonic() - told_at >= PROGRESS_S
            if late or offset == end or offset - told >= PROGRESS_BYTES:
                send(b"P", offset)
                told, told_at = offset, time.monotonic()

    def payload(self) -> bytes:
        """All of them, before anything can fail."""
        return b"".join(map(bytes, self.arriving()))


def refuse(error: OSError) -> None:
    where = error.filename
    answer = {
        "errno": "EIO" if error.errno is None else errno.errorcode.get(error.errno, "EIO"),
        "text": error.strerror or str(error),
        "path": text_of(where) if isinstance(where, bytes) else where,
    }
    send(b"X", answer)


def send(kind: bytes, value: object) -> None:
    body = value if isinstance(value, (bytes, memoryview)) else json.dumps(value).encode()
    write_out(HEADER.pack(kind, len(body)))
    write_out(body)


def write_out(data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def text_of(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
