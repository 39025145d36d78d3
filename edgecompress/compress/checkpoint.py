"""State on disk: written in one atomic step, read with `weights_only=True`."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgecompress.errors import ArtifactError, StorageError
from edgecompress.progress import Progress
from edgecompress.store import read_sealed, set_aside, write_sealed
from edgecompress.task.used import Used, UsedFiles

_USED = "used files"
"""Key, beside the state's own."""


def to_bytes(state: dict[str, Any]) -> bytes:
    """A state of tensors, numbers, strings and containers of them, as torch.save writes it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_state(path: Path) -> dict[str, Any]:
    """What `to_bytes` gave, from a file whose content is known to be right.

    Raises:
        StorageError: it is something else.

    """
    return _loaded(path, path.read_bytes())


def save_checkpoint(path: Path, state: dict[str, Any], used: Used | None = None) -> None:
    """Write a state, with what the task's files held that it came from.

    Raises:
        StorageError: it cannot be written; an older file then stays as it was.
        FilesChanged: such a file is no longer what it was.

    """
    files = {} if used is None else dict(used.taken())
    write_sealed(path, to_bytes({**state, _USED: files}))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Raises StorageError when the file is not, bit by bit, what `save_checkpoint` wrote there."""
    return _with_files(path)[0]


def _with_files(path: Path) -> tuple[dict[str, Any], UsedFiles]:
    try:
        content = read_sealed(path)
    except ArtifactError as error:
        raise StorageError(f"{error}; delete it, and do again what made it") from error
    state = _loaded(path, content)
    return state, state.pop(_USED)


@dataclass(frozen=True)
class Resuming:
    """What a broken-off training may go on from."""

    path: Path
    """Where its checkpoint lies."""
    needs: Callable[[dict[str, Any]], Iterable[Path]]
    """Other checkpoints that have to be right to go on from this one."""
    used: Used | None
    """The task's files; None: they are not looked at."""
    progress: Progress
    """Told why it begins anew."""

    def state(self) -> dict[str, Any] | None:
        """The checkpoint, or None where it must begin anew: there is none, or one is not as it was
        written, or a file that it came from has changed since.

        Raises:
            StorageError: the folder cannot be read or written.

        """
        if not _lies(self.path):
            return None
        at = self.path
        try:
            state, files = _with_files(self.path)
            for at in self.needs(state):
                load_checkpoint(at)
        except StorageError:
            moved = [str(set_aside(each)) for each in dict.fromkeys((self.path, at)) if _lies(each)]
            self.progress.note(
                f"{at}: is not as it was written; begun anew, see {', '.join(moved)}"
            )
            return None
        return state if self.used is None else self._unchanged(state, files, self.used)

    def _unchanged(
        self, state: dict[str, Any], files: UsedFiles, used: Used
    ) -> dict[str, Any] | None:
        changed = used.differing(files)
        if changed is None:
            used.add(files)
            return state
        self.progress.note(f"{self.path}: begun anew, because {changed} has changed")
        return None


def _lies(path: Path) -> bool:
    """Whether there is anything."""
    return path.exists() or path.is_symlink()


def _loaded(path: Path, content: bytes) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), weights_only=True, map_location="cpu"
        )
    except Exception as error:
        # Unpickling garbage can raise nearly anything.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StorageError(f"{path}: not a readable state ({reason}); delete it") from error
    return state
