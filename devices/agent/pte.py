"""The memory that a .pte asks for: `schema/program.fbs` of ExecuTorch."""

from __future__ import annotations

import struct

from .failure import Failure
from .flatbuffer import field, follow, number, tables

EXECUTION_PLAN, BUFFER_SIZES = 1, 8
"""Fields by their numbers: of the program, of a plan."""


def planned_bytes(content: bytes) -> int:
    """All buffers of the first method, which is the model; others tell constants.

    Raises:
        Failure: it is no .pte.

    """
    try:
        plan = next(tables(content, follow(content, 0), EXECUTION_PLAN))
        place = field(content, plan, BUFFER_SIZES)
        if place is None:
            return 0
        sizes = follow(content, place)
        count = number(content, sizes, "<I")
        return sum(struct.unpack_from(f"<{count}q", content, sizes + 4))
    except (ValueError, struct.error, StopIteration) as error:
        raise Failure("input", f"its plan of memory cannot be read: {error}") from None
