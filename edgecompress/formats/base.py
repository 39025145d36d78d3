"""What a file format is to the rest: how a file of it is described and read back."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from edgecompress.artifact import Artifact
from edgecompress.errors import ArtifactError

if TYPE_CHECKING:
    from edgecompress.formats.constants import Numbers


class Activation(NamedTuple):
    """A quantised tensor inside of a file, and the output that shows it in the copy."""

    layer: str
    output: str
    scale: float
    zero_point: int
    identity: str | None
    """What it is computed of, as `provenance.identified` says; None: not known."""
    number: int = 1
    """The how many-eth of that identity and scale, where each is computed of the one before."""


class Exposed(NamedTuple):
    artifact: Artifact
    """The copy: first the file's own outputs, then an output for each activation."""
    activations: tuple[Activation, ...]
    """In the order in which they are computed."""


class Format(ABC):
    """One kind of file; runtimes that read the same kind share it.

    Methods import what they need, because a reader may be heavy, or not installed.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    @abstractmethod
    def describe(self, path: Path) -> Artifact:
        """What the file says of itself.

        Raises:
            ArtifactError: it is missing or damaged.
            RuntimeMissing: what reads the format is not installed here.

        """

    def numbers_of(self, artifact: Artifact) -> "Numbers | None":
        """The weights, biases and scales in the file; None where they cannot be read back."""
        return None

    def expose(self, artifact: Artifact, path: Path) -> Exposed:
        """Write a copy that also gives its activations to `path`.

        Raises:
            ArtifactError: the format cannot show them, or nothing in the file is quantised.

        """
        raise ArtifactError(
            f"{artifact.path}: {self.suffix} files do not show their activations; compare another"
            " file of the same training, such as the ONNX or the TFLite one"
        )
