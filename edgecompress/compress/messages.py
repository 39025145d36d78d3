"""What the main process tells the others; each answers or does what is written here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecompress.spec.deploy import TaskRef
from edgecompress.task.base import Batch


@dataclass(frozen=True)
class LoadTask:
    """Load the task, and answer with what went wrong, or None."""

    ref: TaskRef
    folder: Path
    seed: int


@dataclass(frozen=True)
class Learn:
    """Take this model from here on, and answer with what went wrong, or None."""

    lessons: bytes


@dataclass(frozen=True)
class Step:
    """Take the weights, compute the gradients of this part of a batch, and add them up."""

    part: Batch | None
    """None: there are fewer parts than processes."""
    expected: Any = None
    """The teacher's outputs for it, where they are known."""
    weight: float = 0.0
    """Share of the batch's samples."""
    scale: float = 1.0
    """What the loss is multiplied by before its gradient is taken."""


@dataclass(frozen=True)
class Explain:
    """Answer with what went wrong in the last step, or None."""


@dataclass(frozen=True)
class End:
    """Exit with this code."""

    code: int
