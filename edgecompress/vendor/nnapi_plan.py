"""Android's NNAPI in logcat: which device it planned each operation for."""

import re

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import VendorText, integer, left_over, matches, messages

BEST = re.compile(
    r"ModelBuilder::findBestDeviceForEachOperation\((?P<op>\w+)(?::[0-9]+)?\)"
    r" = -?[0-9]+ \((?P<device>[^()]+)\)"
)
CHATTY = re.compile(r"uid=\S+ \S+ identical (?P<lines>[0-9]+) lines?")
DATA = re.compile(r"findBestDeviceForEachOperation|\bidentical [0-9]+ line")


class PlannedOp(Spec):
    op_type: str
    """As NNAPI calls it: CONV_2D."""
    device: str
    """'qti-dsp'; 'nnapi-reference' is the CPU, and slow."""
    repeated: int | None
    """How many more of the same logcat left out after this line."""


class NnapiPlan(VendorText):
    ops: tuple[PlannedOp, ...]
    """In order. What was planned is not what was executed: a compilation may fail after it."""


def parse_nnapi_plan(text: str) -> NnapiPlan:
    """Read a log of the tag ExecutionPlan, taken with debug.nn.vlog."""
    ops: list[PlannedOp] = []
    lines = [line for _, line in messages(text)]
    for line in lines:
        (best,) = matches(BEST, [line]) or (None,)
        (left_out,) = matches(CHATTY, [line]) or (None,)
        if best is not None:
            ops.append(PlannedOp(op_type=best["op"], device=best["device"], repeated=None))
        elif left_out is not None and ops:
            ops[-1] = ops[-1].model_copy(update={"repeated": integer(left_out["lines"])})
    return NnapiPlan(ops=tuple(ops), unread=left_over(lines, DATA, (BEST, CHATTY)))
