"""ExecuTorch's event tracer: a flatbuffer of what it timed, in nanoseconds.

`devtools/etdump/etdump_schema_flatcc.fbs` of ExecuTorch, and https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Iterator

from .counts import Counted, Counts
from .failure import Failure
from .flatbuffer import field, follow, number, tables, text

SIZE_BYTES = 4
"""The size of the buffer stands before it."""
IDENTIFIER = b"ED00"
RUN_DATA, EVENTS, PROFILE_EVENT = 1, 3, 0
"""Fields by their numbers: of the dump, of a run, of an event."""
NAME, INSTRUCTION, DELEGATE_OPERATOR, START, END = 0, 2, 4, 6, 7
"""Fields of a profile event."""
INFERENCE = "Method::execute"
KERNEL = "native_call_"
"""Before the name of a portable kernel."""


class Event:
    """A time that was taken."""

    def __init__(self, content: bytes, at: int) -> None:
        self.name = text(content, field(content, at, NAME))
        self.operator = text(content, field(content, at, DELEGATE_OPERATOR))
        """The operator as its delegate calls it; '' where it is the program's own."""
        instruction = field(content, at, INSTRUCTION)
        self.instruction = -1 if instruction is None else number(content, instruction, "<i")
        ends = [field(content, at, each) for each in (START, END)]
        start, end = (0 if place is None else number(content, place, "<Q") for place in ends)
        self.time_us = (end - start) / 1e3


def read_etdump(path: str) -> Counts:
    """The operators of each inference: kernels, and what delegates tell of their own.

    Raises:
        Failure: the file is no such dump.

    """
    content = Path(path).read_bytes()[SIZE_BYTES:]
    if content[4:8] != IDENTIFIER:
        raise Failure("runtime", "ExecuTorch's dump cannot be read: it is no ETDump")
    try:
        return _counts(list(_events(content)))
    except (ValueError, struct.error, IndexError) as error:
        raise Failure("runtime", f"ExecuTorch's dump cannot be read: {error}") from None


def _counts(events: list[Event]) -> Counts:
    """Operators come before the inference that they are of: events are told when they end."""
    counts = Counts()
    # Of a delegate all operators are told when its call ends, just before it.
    waiting: list[Event] = []
    found: list[Counted] = []
    for event in events:
        if event.operator:
            waiting.append(event)
        elif event.name == "DELEGATE_CALL":
            call = event.instruction
            found += [
                Counted(f"{call}: {each.operator}", _kind(each.operator), each.time_us)
                for each in waiting
            ]
            waiting = []
        elif event.name.startswith(KERNEL):
            kernel = event.name[len(KERNEL) :]
            found.append(Counted(f"{event.instruction}: {kernel}", kernel, event.time_us))
        elif event.name == INFERENCE:
            counts.add(found)
            waiting, found = [], []
    return counts


def _kind(operator: str) -> str:
    """Without its number: 'Convolution (NHWC, QC8) IGEMM' of '.. #2'."""
    return operator.rpartition(" #")[0] or operator


def _events(content: bytes) -> Iterator[Event]:
    for run in tables(content, follow(content, 0), RUN_DATA):
        for event in tables(content, run, EVENTS):
            timed = field(content, event, PROFILE_EVENT)
            if timed is not None:
                yield Event(content, follow(content, timed))
