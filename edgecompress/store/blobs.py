"""Content-addressed files: a blob's name is the sha256 of what is in it."""

import hashlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from edgecompress.artifact import sha256_of
from edgecompress.errors import ArtifactError
from edgecompress.store.files import chunks_of, publish, storage_errors, write_temp

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The folder of blobs, beside the folders for temp files and for corrupt blobs."""

    def __init__(self, folder: Path, temp: Path, quarantine: Path) -> None:
        self._folder = folder
        self._temp = temp
        self._quarantine = quarantine

    def _at(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def put(self, source: Path | bytes) -> str:
        """Keep a file's content, or bytes; see Store.put."""
        hasher = hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            for chunk in [source] if isinstance(source, bytes) else chunks_of(source):
                hasher.update(chunk)
                yield chunk

        is_file = isinstance(source, Path) and source.is_file()
        size = len(source) if isinstance(source, bytes) else source.stat().st_size if is_file else 0
        with storage_errors(self._folder, size):
            temp = write_temp(self._temp, chunks())
            blob = self._at(hasher.hexdigest())
            try:
                self._make_way(blob)
                # Also over a blob that is already there: this one is known to be sound.
                publish(temp, blob)
            finally:
                temp.unlink(missing_ok=True)
        return blob.name

    def _make_way(self, blob: Path) -> None:
        blob.parent.mkdir(exist_ok=True)
        if blob.is_dir():
            self._set_aside(blob)

    def path(self, sha256: str) -> Path:
        """Where a blob lies, after its content was hashed again; see Store.path."""
        if not _SHA256.fullmatch(sha256):
            raise ArtifactError(f"'{sha256}' is not a sha256; give 64 hexadecimal digits")
        blob = self._at(sha256)
        if sha256_of(blob) == sha256:
            return blob
        with storage_errors(blob):
            aside = self._set_aside(blob)
        raise ArtifactError(f"{blob}: content is corrupt; moved to {aside}, deploy again")

    def _set_aside(self, blob: Path) -> Path:
        aside = self._quarantine / blob.name
        if aside.is_dir():
            aside = aside.with_name(f"{blob.name}-{secrets.token_hex(3)}")
        return blob.replace(aside)

    def copy_to(self, sha256: str, destination: Path) -> None:
        """Write a verified copy; see Store.copy_to."""
        blob = self.path(sha256)
        with storage_errors(destination, blob.stat().st_size):
            publish(write_temp(destination.parent, chunks_of(blob)), destination)

    def has(self, sha256: str) -> bool:
        """Whether it was put; its content is not looked at."""
        return self._at(sha256).is_file()

    def unused(self, used: set[str]) -> list[Path]:
        """Blobs that are not in `used`."""
        names = (path for path in self._folder.glob("*/*") if _SHA256.fullmatch(path.name))
        return [path for path in names if path.name not in used]
