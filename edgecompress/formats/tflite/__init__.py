"""TFLite: a flatbuffer of operators that LiteRT and its delegates run as they stand."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.formats.base import Exposed, Format

if TYPE_CHECKING:
    from edgecompress.formats.constants import Numbers


class Tflite(Format):
    name = "tflite"
    suffix = ".tflite"

    def describe(self, path: Path) -> Artifact:
        from edgecompress.formats.tflite.file import describe

        return describe(path)

    def numbers_of(self, artifact: Artifact) -> "Numbers | None":
        from edgecompress.formats.tflite.constants import numbers_of

        return numbers_of(artifact)

    def expose(self, artifact: Artifact, path: Path) -> Exposed:
        from edgecompress.formats.tflite.expose import expose

        return expose(artifact, path)
