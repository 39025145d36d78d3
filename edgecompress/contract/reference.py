"""What a declaration comes to, whatever it is of: inputs that are drawn, prepared, and compared."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Prepared = tuple[NDArray[np.generic], ...]
"""One array for each input of a file, each a batch of one."""


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
    """The declared way of preparing the inputs of a file."""

    noun: str
    """What is prepared, as a reader knows it."""
    inputs: int = 1
    """How many the file must have. What an application gives for several is one array, [inputs,
    ...].
    """

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those that each of the file's inputs may have, without the batch."""

    @abstractmethod
    def draw(self, folder: Path) -> list[Path]:
        """Write what applications are tried with there.

        Raises:
            StorageError: it cannot be written.
            RuntimeMissing: a library for it is not installed.

        """

    @abstractmethod
    def prepare(self, path: Path) -> Prepared:
        """What the network must be given: pictures and sounds in float32, channels first.

        Raises:
            SpecError: it cannot be read.
            RuntimeMissing: as `draw`.

        """

    @abstractmethod
    def departure(self, given: Sequence[Numbers], paths: Sequence[Path]) -> Departure:
        """Which of the usual mistakes an application made: what it gave for each of the files that
        were drawn.
        """
