"""Builder: make a TensorRT engine from an ONNX file. One implementation per way to TensorRT;
`find_builder` knows them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Iterable, NamedTuple

JETPACK = (
    "on a Jetson, JetPack brings it: sudo apt install nvidia-jetpack;"
    " a virtual environment sees it when made with --system-site-packages"
)
OUT_OF_MEMORY = "Device memory is insufficient to use tactic"
"""TensorRT warns so and takes another tactic."""


class Flags(NamedTuple):
    fp16: bool
    """Let float layers run in float16, where the network is not strongly typed."""
    sparse_weights: bool
    """Let 2:4 sparse kernels be chosen."""
    strongly_typed: bool
    """Every tensor keeps the type that the graph gives it, where the release can (10 and later)."""
    workspace_bytes: int


class Job(NamedTuple):
    model: str
    """An ONNX file."""
    quantized: bool
    """Whether it has Q/DQ nodes."""
    shapes: dict[str, list[int]]
    """Sizes of the inputs that have a free dimension."""
    flags: Flags
    engine: str
    """To write to."""
    timing_cache: str
    """Kernel timings of earlier builds; read if it is there, and written."""


class Builder(ABC):
    how: str
    """python or trtexec."""
    version: str
    """TensorRT's, such as '10.3.0'."""

    @abstractmethod
    def build(self, job: Job) -> list[str]:
        """Write the engine; returns notes on what was not as asked. Raises Failure."""


def type_notes(flags: Flags, typed: bool, version: str) -> list[str]:
    """What was asked of the types and this release cannot do; `typed`: strongly, this time."""
    notes = []
    if flags.fp16 and typed:
        notes.append("fp16 has no effect: the network is strongly typed, its types are the graph's")
    if flags.strongly_typed and not typed:
        notes.append(f"TensorRT {version} cannot type strongly: it chooses among the types allowed")
    return notes


def memory_notes(warnings: Iterable[str]) -> list[str]:
    """TensorRT only warns when it passes over a kernel for lack of memory."""
    count = sum(OUT_OF_MEMORY in line for line in warnings)
    return [f"{count} kernels were passed over for lack of device memory"] if count else []


def has_quantization(model: str) -> bool:
    """Whether an ONNX file has Q/DQ nodes; boards have no onnx, and the name stands as text."""
    return b"QuantizeLinear" in Path(model).read_bytes()
