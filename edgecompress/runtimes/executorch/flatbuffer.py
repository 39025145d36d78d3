"""A reader of flatbuffers that may be anything: every offset is checked, and the work is bounded.

Format: https://flatbuffers.dev/internals/. A table knows its fields by number; `schema.py` has the
names. A file of n bytes may name the same table many times, so what is read of it counts, and ends
at a few times n.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["b", "B", "h", "H", "i", "I", "q", "Q", "f", "d"]
"""Numbers, as `struct` spells them: signed and unsigned of 8 to 64 bits, floats of 32 and 64."""
Schema = Mapping[str, Sequence[str]]
"""Fields of each table, in the schema's order; a union has two, of which the first is its type."""

_SPENT_PER_BYTE = 8
_SMALLEST = 1 << 16


class Damaged(Exception):
    """The bytes are no such flatbuffer; the text says what is wrong with them."""


class Budget:
    """How many items may still be read of a buffer."""

    def __init__(self, size_bytes: int) -> None:
        self._left = _SPENT_PER_BYTE * size_bytes + _SMALLEST

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise Damaged("it names more items than it can hold")


@dataclass(frozen=True)
class Table:
    """One table of a buffer, by the names of its fields."""

    content: memoryview
    at: int
    name: str
    schema: Schema
    budget: Budget

    def number(self, field: str, kind: Kind, default: int = 0) -> int:
        found = self._field(field)
        return default if found is None else int(_unpack(self.content, found, kind))

    def real(self, field: str) -> float:
        found = self._field(field)
        return 0.0 if found is None else float(_unpack(self.content, found, "f"))

    def text(self, field: str) -> str:
        found = self._field(field)
        return "" if found is None else self._text(self._follow(found))

    def table(self, field: str, name: str) -> "Table | None":
        """The table of type `name` that the field points to."""
        found = self._field(field)
        return None if found is None else self._table(self._follow(found), name)

    def needed(self, field: str, name: str) -> "Table":
        """As `table`, where the format has no use for a file without it."""
        found = self.table(field, name)
        if found is None:
            raise Damaged(f"a {self.name} has no {field}")
        return found

    def union(self, field: str, names: Sequence[str]) -> "Table | None":
        """A table of one of the types `names`, of which the first is number 1; None: of none."""
        chosen = self.number(f"{field}_type", "B")
        if not chosen:
            return None
        if chosen > len(names):
            raise Damaged(f"a {self.name} has a {field} of type {chosen}, which is not known here")
        return self.needed(field, names[chosen - 1])

    def tables(self, field: str, name: str) -> Iterator["Table"]:
        start, count = self._vector(field, 4)
        for index in range(count):
            yield self._table(self._follow(start + 4 * index), name)

    def numbers(self, field: str, kind: Kind) -> tuple[int, ...]:
        start, count = self._vector(field, struct.calcsize(kind))
        return struct.unpack_from(f"<{count}{kind}", self.content, start) if count else ()

    def reals(self, field: str) -> tuple[float, ...]:
        start, count = self._vector(field, 4)
        return struct.unpack_from(f"<{count}f", self.content, start) if count else ()

    def content_of(self, field: str) -> memoryview:
        """The bytes of a vector of them."""
        start, count = self._vector(field, 1)
        return self.content[start : start + count]

    def _table(self, at: int, name: str) -> "Table":
        self.budget.spend(1)
        return Table(self.content, at, name, self.schema, self.budget)

    def _field(self, field: str) -> int | None:
        """Where the field's value is; None: it has its default."""
        slot = 4 + 2 * self.schema[self.name].index(field)
        layout = self.at - int(_unpack(self.content, self.at, "i"))
        size = int(_unpack(self.content, layout, "H"))
        if slot + 2 > size:
            return None
        offset = int(_unpack(self.content, layout + slot, "H"))
        return self.at + offset if offset else None

    def _follow(self, at: int) -> int:
        return at + int(_unpack(self.content, at, "I"))

    def _vector(self, field: str, item_bytes: int) -> tuple[int, int]:
        """Where its items begin, and how many there are; all are in the buffer."""
        found = self._field(field)
        if found is None:
            return 0, 0
        at = self._follow(found)
        count = int(_unpack(self.content, at, "I"))
        if at + 4 + count * item_bytes > len(self.content):
            raise Damaged(f"the {field} of a {self.name} reach beyond its end")
        self.budget.spend(count)
        return at + 4, count

    def _text(self, at: int) -> str:
        size = int(_unpack(self.content, at, "I"))
        if at + 4 + size > len(self.content):
            raise Damaged(f"a text of a {self.name} reaches beyond its end")
        self.budget.spend(size)
        try:
            return bytes(self.content[at + 4 : at + 4 + size]).decode()
        except UnicodeDecodeError:
            raise Damaged(f"a text of a {self.name} is not UTF-8") from None


def root(content: memoryview, name: str, schema: Schema, budget: Budget) -> Table:
    """The outermost table of a buffer, of type `name`.

    Raises:
        Damaged: there is none; so do the methods of a table, for whatever does not fit.

    """
    return Table(content, int(_unpack(content, 0, "I")), name, schema, budget)


def _unpack(content: memoryview, at: int, kind: Kind) -> int | float:
    if not 0 <= at <= len(content) - struct.calcsize(kind):
        raise Damaged("an offset points beyond its end")
    value: int | float = struct.unpack_from(f"<{kind}", content, at)[0]
    return value
