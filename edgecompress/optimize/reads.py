"""What the trials of a search had read of the task's files, kept beside its report: a trial whose
files have changed since says nothing any more.
"""

import hashlib
import json
from pathlib import Path

from edgecompress.store import is_sealed, read_sealed, write_sealed
from edgecompress.store.files import storage_errors
from edgecompress.task.used import Used


class Reads:
    """Lists of files with what they held, each kept once, by its hash."""

    def __init__(self, folder: Path, used: Used) -> None:
        """`folder`: where they are kept; `used`: what watches the task's files."""
        self._folder, self._used = folder, used

    def keep(self) -> str:
        """All that was read until now; the hash to ask for it by.

        Raises:
            FilesChanged: it is no longer what is there.
            StorageError: it cannot be written.

        """
        content = json.dumps(self._used.taken()).encode()
        name = hashlib.sha256(content).hexdigest()
        if not is_sealed(self._folder / name):
            with storage_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            write_sealed(self._folder / name, content)
        return name

    def changed(self, name: str) -> str | None:
        """The first of those files that has changed since; None where none has, and of a list that
        was kept on another machine.
        """
        path = self._folder / name
        return self._used.differing(json.loads(read_sealed(path))) if is_sealed(path) else None
