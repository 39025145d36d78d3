"""What a deploy really read of the user's: modules, early or late, data, and folders listed."""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgecompress.bundled import devices_dir, targets_dir
from edgecompress.errors import TaskError
from edgecompress.task import opened
from edgecompress.task.hashes import ABSENT, Hashes, hash_listing
from edgecompress.task.opened import LISTED, WRITTEN, Stat, Watch, lies_in
from edgecompress.task.sources import forget_modules, from_sources

UsedFiles = Mapping[str, str]
"""From a path to the sha256 of its content; relative to the folder of deploy.yaml where it lies in
it, and with a '/' at its end where it is a folder whose names were read.
"""


class FilesChanged(TaskError):
    """A file changed while a deploy was at work with it."""


class Used:
    """Watches the task's files from here on, in this process and in its workers.

    Args:
        folder: that of deploy.yaml.
        more: other folders of the task.
        ignored: what is not the user's: where results are kept.
        hashes: of files that were read before.

    """

    def __init__(
        self, folder: Path, more: Iterable[Path], ignored: Iterable[Path], hashes: Hashes
    ) -> None:
        self._folder = os.path.abspath(folder)
        self._folder_names = _both_names((folder,))
        self.hashes = hashes
        self._scratch = tempfile.TemporaryDirectory(prefix="edgecompress-")
        self._log = Path(self._scratch.name) / "opened"
        folders = _both_names((folder, *more))
        self._ignored = _both_names((*ignored, devices_dir(), targets_dir()))
        self._watch = Watch(str(self._log), folders, self._ignored)
        self._begin()

    def _begin(self) -> None:
        self._offset, self._since_ns = 0, time.time_ns()
        self._read: dict[str, Stat | None] = {}
        """With what was there before the first time; None where there was nothing."""
        self._written: set[str] = set()
        self._listed: set[str] = set()
        self._sources: set[str] = set()
        """Imported modules' own files, looked at before."""
        self._known: dict[str, str] = {}
        """What earlier calls gave, or what is in the store came from: it may not change."""
        forget_modules()
        from_sources(active=True)
        self._log.write_bytes(b"")
        opened.begin(self._watch)

    def __enter__(self) -> "Used":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Watch no longer."""
        opened.end()
        from_sources(active=False)
        self._scratch.cleanup()

    def restart(self) -> None:
        """Forget all that was read, and the user's modules, as in a new process."""
        opened.end()
        self._begin()

    def taken(self) -> UsedFiles:
        """All that was read until now, with what it holds.

        Raises:
            FilesChanged: what was read is no longer what is there.

        """
        self._gather()
        for path, stat in self._read.items():
            name, sha256 = self._name(path), self.hashes.of(path)
            if path in self._written and not path.endswith(".py"):
                # The task's own work, which it may go on with, or have removed.
                self._known.pop(name, None)
                if sha256 != ABSENT:
                    self._known[name] = sha256
            elif self._passed(stat, sha256):
                continue
            elif (
                self._is_new_but_changed(name, path, stat)
                or self._known.setdefault(name, sha256) != sha256
            ):
                raise FilesChanged(_changed(path))
        for path in self._listed:
            self._known.setdefault(self._name(path) + "/", self._hash(path + "/"))
        return {name: self._known[name] for name in sorted(self._known)}

    def _passed(self, stat: Stat | None, sha256: str) -> bool:
        """Whether a file came and went since, such as one that a library unpacks for a moment."""
        return sha256 == ABSENT and stat is not None and stat[3] >= self._since_ns

    def _is_new_but_changed(self, name: str, path: str, stat: Stat | None) -> bool:
        """Whether nobody can tell what a file held when it was read."""
        return name not in self._known and stat is not None and opened.stat_of(path) != stat

    def check(self) -> None:
        """Look at all that results so far came from. Raises FilesChanged as `taken` does."""
        self.taken()
        changed = self.differing(self._known)
        if changed is not None:
            raise FilesChanged(_changed(changed))

    def add(self, used: UsedFiles) -> None:
        """Count what a result from the store was made of, and `differing` has found unchanged."""
        self._known = {**used, **self._known}

    def differing(self, used: UsedFiles) -> str | None:
        """The first path that does not hold what it held; None where all do."""
        self._gather()
        for name, sha256 in used.items():
            path = os.path.join(self._folder, name)
            if self._hash(path) != sha256:
                return path
        return None

    def _hash(self, path: str) -> str:
        if not path.endswith("/"):
            return self.hashes.of(path)
        folder = path.rstrip("/")
        ours = {*self._written, *self._ignored}
        but = {os.path.basename(each) for each in ours if os.path.dirname(each) == folder}
        return hash_listing(folder, {*but, "__pycache__"})

    def _gather(self) -> None:
        found, self._offset = opened.events(self._log, self._offset)
        for event in found:
            if event.kind == WRITTEN:
                self._written.add(event.path)
            elif event.kind == LISTED:
                self._listed.add(event.path)
            else:
                self._read.setdefault(event.path, event.stat)
        # Each once: there are thousands, nearly all of them libraries', and this is asked often.
        sources = _loaded_sources() - self._sources
        self._sources |= sources
        for path in sources:
            in_folders = any(lies_in(path, folder) for folder in self._watch.folders)
            if path not in self._read and in_folders and opened.is_watched(self._watch, path):
                self._read[path] = opened.stat_of(path)

    def _name(self, path: str) -> str:
        for folder in self._folder_names:
            if path == folder:
                return "."
            if path.startswith(folder + os.sep):
                return path[len(folder) + 1 :]
        return path


class NothingUsed(Used):
    """For a task that is in memory already: what lies in files no longer matters to it, and its
    modules are the user's to keep.
    """

    def __init__(self) -> None:
        self.hashes = Hashes()

    def close(self) -> None:
        pass

    def restart(self) -> None:
        pass

    def taken(self) -> UsedFiles:
        return {}

    def check(self) -> None:
        pass

    def add(self, used: UsedFiles) -> None:
        pass

    def differing(self, used: UsedFiles) -> str | None:
        return None


def _loaded_sources() -> set[str]:
    """The sources of modules that are imported already."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {file for file in files if file and file.endswith(".py") and os.path.isabs(file)}


def _both_names(folders: Iterable[Path]) -> tuple[str, ...]:
    """As they are named, and as they are where a name on the way is a link."""
    names = [name(each) for each in folders for name in (os.path.abspath, os.path.realpath)]
    return tuple(dict.fromkeys(names))


def _changed(path: str) -> str:
    return f"{path}: changed while the deploy was at work with it; deploy again"
