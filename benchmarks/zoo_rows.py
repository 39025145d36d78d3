"""What is kept of one architecture on one way: a JSON file."""

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

WAYS = {
    "onnxruntime": "local-onnxruntime",
    "litert": "local-litert",
    "tensorrt": "jetson-orin-nano",
    "pruned": "local-onnxruntime",
}
"""With the target of each. TensorRT's file is checked against TensorRT's rules, and run by ONNX
Runtime's reference kernels; 'pruned' is structured pruning and an epoch of QAT besides.
"""
SQNR_CAP_DB = 120.0
LEAST_SQNR_DB = 10.0
"""Below it the operator that loses it must be named."""

Outcome = Literal["file", "error", "defect", "killed", "absent"]
"""A file; a line that says what is wrong; a traceback; ended by a limit or a signal; the
architecture's package is not installed.
"""


class Hop(BaseModel):
    kind: str
    top1: float | None
    steps: float


class FloatOp(BaseModel):
    """All operators of one type that do not run in int8, with the first one's reason."""

    op_type: str
    reason: str
    count: int
    macs: int


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    way: str
    outcome: Outcome
    error: str = ""
    int8: float = 0.0
    """Share of the MACs that int8 kernels run."""
    relative_error: float = 0.0
    """How far the file as it runs is from the float model; see zoo_task.RelativeError."""
    top1: float | None = None
    """Agreement of the file with what was quantised in torch."""
    steps: float = 0.0
    """Largest difference between these two, in steps of the output."""
    hops: tuple[Hop, ...] = ()
    decision: str = ""
    failed: tuple[str, ...] = ()
    """The verdict's checks that failed."""
    violations: tuple[str, ...] = ()
    """What TensorRT would refuse."""
    float_ops: tuple[FloatOp, ...] = ()
    worst: str = ""
    """Operators that lose most, where the report names them."""
    macs: tuple[int, int] = (0, 0)
    """Before and after."""
    cpu_seconds: float = 0.0
    """Which a busy machine leaves as they are."""
    code: str = ""

    @property
    def sqnr_db(self) -> float:
        return min(SQNR_CAP_DB, -20 * math.log10(max(self.relative_error, 1e-30)))

    def in_words(self) -> str:
        if self.outcome != "file":
            return f"{self.outcome}: {self.error}"
        agreement = "" if self.top1 is None else f"{self.top1:.0%} top-1, "
        return (
            f"int8 {self.int8:.1%}, {self.sqnr_db:.1f} dB, {agreement}{self.steps:.3g} steps,"
            f" {self.decision} {'; '.join((*self.failed, *self.violations))}"
        )


def store(folder: Path, row: Row) -> None:
    (folder / f"{row.name}-{row.way}.json").write_text(row.model_dump_json(indent=1) + "\n")


def load(folder: Path) -> list[Row]:
    return [Row.model_validate_json(path.read_text()) for path in sorted(folder.glob("*.json"))]
