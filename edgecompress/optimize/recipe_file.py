"""The recipe that was found, as a deploy.yaml to commit."""

from pathlib import Path

import yaml

from edgecompress.errors import StorageError
from edgecompress.spec.deploy import DeployConfig
from edgecompress.store import atomic_write

_HEADER = "# Written by edgecompress optimize"


def write_recipe(folder: Path, config: DeployConfig, board: str, told: str) -> Path:
    """Write `best.yaml` beside deploy.yaml, where the paths in it mean the same; under another name
    where a file of somebody else's, or of another board, has that one.

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
    text = f"{header}{told}\n{yaml.safe_dump(document, sort_keys=False)}"
    number = 1
    while True:
        path = folder / ("best.yaml" if number == 1 else f"best-{number}.yaml")
        try:
            if not path.exists() or path.read_bytes().startswith(header.encode()):
                atomic_write(path, text.encode())
                return path
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error}") from None
        number += 1
