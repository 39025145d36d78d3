"""Artifact: a model file on disk that can be verified again, and what its tensors mean."""

import hashlib
import stat
from pathlib import Path
from typing import Literal

from edgecompress.errors import ArtifactError
from edgecompress.spec.base import Spec
from edgecompress.spec.preprocessing import Preprocessing

Layout = Literal["nchw", "nhwc"]


class TensorInfo(Spec):
    """One input or output of the file."""

    name: str
    shape: tuple[int | str, ...]
    """A string is the name of a dimension that is free at run time."""
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    layout: Layout | None = None
    """An image input's; None where the file does not say, and takes what the task gives."""


class Artifact(Spec):
    path: Path
    format: str
    """The name of a format of `edgecompress.formats`."""
    sha256: str
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    lineage: dict[str, str] = {}
    """Where it came from: recipe digest, task, parent, versions of the tools that made it."""
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    """How an application prepares what the file is given; None: the file does not say."""

    decoded: bool = False
    """Whether the task's decoder is a part of it, so that its outputs are boxes and the like."""

    def verify(self) -> None:
        """Raises ArtifactError when the file is missing or is no longer the one described."""
        if sha256_of(self.path) != self.sha256:
            raise ArtifactError(
                f"{self.path}: content has changed since it was written"
                f" (sha256 is not {self.sha256[:12]}..); deploy again"
            )


def sha256_of(path: Path) -> str:
    """sha256 hex of a file's content.

    Raises:
        ArtifactError: it cannot be read.

    """
    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            # Opening it would wait for its other end.
            raise ArtifactError(f"{path}: cannot be read: Is a pipe")
        with path.open("rb") as file:
            hasher = hashlib.sha256()
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
            return hasher.hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None
