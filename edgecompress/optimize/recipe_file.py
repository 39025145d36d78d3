"""The recipe that was found, as a deploy.yaml to commit."""

import hashlib
from pathlib import Path

import yaml

from edgecompress.errors import StorageError
from edgecompress.spec.deploy import DeployConfig
from edgecompress.store import atomic_write

_HEADER = "# Written by edgecompress optimize"
_SEAL = "# sha256 of what follows, by which an edited file is known: "


def write_recipe(folder: Path, config: DeployConfig, board: str, told: str) -> Path:
    """Write `best.yaml` beside deploy.yaml, where the paths in it mean the same; under another name
    where a file of somebody else's, of another board, or that was edited since, has that one.

    Args:
        folder: of deploy.yaml.
        config: the recipe.
        board: that it is for.
        told: a line on where it comes from.

    Raises:
        StorageError: the folder cannot be written.

    """
    document = config.model_dump(mode="json", exclude_defaults=True)
    header = f"{_HEADER} for {board}: "
    content = yaml.safe_dump(document, sort_keys=False)
    text = f"{header}{told}\n{_SEAL}{_digest(content)}\n{content}"
    number = 1
    while True:
        path = folder / ("best.yaml" if number == 1 else f"best-{number}.yaml")
        try:
            if not path.exists() or _is_as_written(path.read_bytes(), header):
                atomic_write(path, text.encode())
                return path
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error}") from None
        number += 1


def _is_as_written(found: bytes, header: str) -> bool:
    try:
        first, seal, content = found.decode().split("\n", 2)
    except ValueError:  # fewer lines, or no text
        return False
    return first.startswith(header) and seal == f"{_SEAL}{_digest(content)}"


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]
