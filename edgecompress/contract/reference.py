"""What a declaration comes to, whatever it is of: inputs that are drawn, prepared, and compared."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Prepared = NDArray[np.float32]


@dataclass(frozen=True)
class Departure:
    """How what an application gives a network differs from what is declared."""

    is_right: bool
    mistakes: tuple[str, ...]
    """Those that give exactly these numbers; none: it is right, or no usual mistake explains it."""
    levels: float | None
    """Pictures: mean absolute difference, in levels of 255; None: the shapes differ."""
    told: str
    """What is wrong, in a line."""
    share: float | None = None
    """Sounds: root mean square of the difference, of that of the sound; None as with `levels`."""


class Reference(ABC):
    """The declared way of preparing the one input of a file."""

    noun: str
    """What is prepared, as a reader knows it."""

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those that a file's input may have, without the batch."""

    @abstractmethod
    def draw(self, folder: Path) -> list[Path]:
        """Write what applications are tried with there.

        Raises:
            StorageError: it cannot be written.
            RuntimeMissing: a library for it is not installed.

        """

    @abstractmethod
    def prepare(self, path: Path) -> Prepared:
        """What the network must be given for a file, float32, a batch of one, channels first.

        Raises:
            SpecError: it cannot be read.
            RuntimeMissing: as `draw`.

        """

    @abstractmethod
    def departure(self, given: Sequence[Numbers], paths: Sequence[Path]) -> Departure:
        """Which of the usual mistakes an application made: what it gave for each of the files that
        were drawn.
        """
