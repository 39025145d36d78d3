"""The bytes of a model file, before anybody looks into them."""

from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import ArtifactError
from edgecompress.formats.metadata import MAX_BYTES


@dataclass(frozen=True)
class Kind:
    """What a reader expects."""

    name: str
    """'a TFLite file'"""
    suffix: str
    identifier: bytes | None = None
    """Bytes 4 to 8 of every such file, where it is a flatbuffer that has one."""


def read_bytes(path: Path, kind: Kind) -> bytes:
    """The content of a file.

    Raises:
        ArtifactError: missing, a folder, empty, too large, or of another kind.

    """
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder; name the {kind.suffix} file in it")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ArtifactError(
                f"{path}: has {size / 2**30:.1f} GiB, and {kind.name} ends at 2 GiB;"
                " prune or quantise the model, or split it"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read: {error.strerror}; give an existing {kind.suffix} file"
        ) from None
    if not content:
        raise ArtifactError(f"{path}: is empty; export or copy it again")
    if kind.identifier is not None and content[4:8] != kind.identifier:
        raise ArtifactError(
            f"{path}: not {kind.name}: bytes 4 to 8 are not '{kind.identifier.decode()}'; export or"
            " copy it again"
        )
    return content
