"""State on disk: written in one atomic step, read with `weights_only=True`."""

import io
from pathlib import Path
from typing import Any

import torch

from edgecompress.errors import StorageError
from edgecompress.store import atomic_write


def to_bytes(state: dict[str, Any]) -> bytes:
    """A state of tensors, numbers, strings and containers of them, as torch.save writes it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Raises StorageError when it cannot be written; an older file then stays as it was."""
    atomic_write(path, to_bytes(state))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Raises StorageError when the file is not one that `save_checkpoint` wrote."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        # Unpickling garbage can raise nearly anything.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StorageError(f"{path}: not a readable checkpoint ({reason}); delete it") from error
    return state
