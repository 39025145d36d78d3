"""What the agent is asked, where that takes more than a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecompress.transport.base import COPY_BYTES

Kernels = Literal["default", "reference"]


@dataclass(frozen=True)
class Inference:
    """A stack of samples to be run."""

    inputs: Path
    """.npz, [N, ...] by name."""
    outputs: Path
    """.npz to be written, alike."""
    threads: int = 1
    batch: int = 1
    """So many samples at a time where the file's batch is free, else as many as it is made for."""
    kernels: Kernels = "default"
    """Those that the runtime chooses, or its reference ones."""
    limit_bytes: int = COPY_BYTES
    """The most that the outputs may take, beyond which none are."""


@dataclass(frozen=True)
class Rounds:
    """How many files are measured in one process."""

    threads: int
    least: int
    """How many rounds there are, where files settle."""
    most: int
    moment_s: float
    """How long each file runs in each round, at least."""
