"""ONNX: one protobuf message, of whose operators several runtimes read the same."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.formats.base import Exposed, Format

if TYPE_CHECKING:
    from edgecompress.formats.constants import Numbers


class Onnx(Format):
    name = "onnx"
    suffix = ".onnx"

    def describe(self, path: Path) -> Artifact:
        from edgecompress.formats.onnx.file import describe

        return describe(path)

    def numbers_of(self, artifact: Artifact) -> "Numbers | None":
        from edgecompress.formats.onnx.constants import numbers_of

        return numbers_of(artifact)

    def expose(self, artifact: Artifact, path: Path) -> Exposed:
        from edgecompress.formats.onnx.expose import expose

        return expose(artifact, path)
