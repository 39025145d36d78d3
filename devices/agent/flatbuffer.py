"""The few things that are read of flatbuffers; see https://flatbuffers.dev/internals/.

Whatever bytes these are given, they raise nothing but ValueError and struct.error.
"""

from __future__ import annotations

import struct
from typing import Iterator


def tables(content: bytes, table: int, number_of_field: int) -> Iterator[int]:
    place = field(content, table, number_of_field)
    if place is None:
        return
    start = follow(content, place)
    for index in range(number(content, start, "<I")):
        yield follow(content, start + 4 + 4 * index)


def field(content: bytes, table: int, which: int) -> int | None:
    """Where a table has a field; None: it has not."""
    names = table - number(content, table, "<i")
    if 4 + 2 * which >= number(content, names, "<H"):
        return None
    offset = number(content, names + 4 + 2 * which, "<H")
    return table + offset if offset else None


def follow(content: bytes, place: int) -> int:
    return place + number(content, place, "<I")


def number(content: bytes, place: int, kind: str) -> int:
    if place < 0:
        raise ValueError("an offset leads out of it")
    return int(struct.unpack_from(kind, content, place)[0])


def text(content: bytes, place: int | None) -> str:
    if place is None:
        return ""
    start = follow(content, place)
    size = number(content, start, "<I")
    return content[start + 4 : start + 4 + size].decode("utf-8", "replace")
