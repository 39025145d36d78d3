"""State on disk: written in one atomic step, read with `weights_only=True`."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from edgecompress.errors import ArtifactError, StorageError
from edgecompress.progress import Progress
from edgecompress.store import read_sealed, set_aside, write_sealed


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


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Raises StorageError when it cannot be written; an older file then stays as it was."""
    write_sealed(path, to_bytes(state))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Raises StorageError when the file is not, bit by bit, what `save_checkpoint` wrote there."""
    try:
        content = read_sealed(path)
    except ArtifactError as error:
        raise StorageError(f"{error}; delete it, and do again what made it") from error
    return _loaded(path, content)


def resumable(
    path: Path, needs: Callable[[dict[str, Any]], Iterable[Path]], progress: Progress
) -> dict[str, Any] | None:
    """The checkpoint of what was broken off, or None where it must begin anew: there is none, or
    one is not as it was written, which is then said.

    Args:
        path: of the checkpoint.
        needs: what else has to be right to go on from it.
        progress: told what was damaged, and where it is now.

    Raises:
        StorageError: the folder cannot be read or written.

    """
    if not _lies(path):
        return None
    at = path
    try:
        state = load_checkpoint(path)
        for at in needs(state):
            load_checkpoint(at)
    except StorageError:
        moved = [str(set_aside(each)) for each in dict.fromkeys((path, at)) if _lies(each)]
        progress.note(f"{at}: is not as it was written; begun anew, see {', '.join(moved)}")
        return None
    return state


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
