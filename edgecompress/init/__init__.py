"""`edgecompress init`: a working deploy.yaml and task.py to start from."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import SpecError, StorageError

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Started:
    written: tuple[Path, ...]
    next: str
    """The command that uses them."""


def write_start(folder: Path) -> Started:
    """Write the templates into `folder`, which is made when it is not there.

    Raises:
        SpecError: one of the files is there already; nothing is written.
        StorageError: the folder cannot be written.

    """
    sources = sorted(path for path in TEMPLATES.iterdir() if path.is_file())
    goals = tuple(folder / source.name for source in sources)
    for goal in goals:
        if goal.exists():
            raise SpecError(f"{goal}: is there already; name another folder: edgecompress init DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, goal in zip(sources, goals, strict=True):
            # "x", so that a file that has appeared meanwhile is not overwritten.
            with goal.open("x", encoding="utf-8") as file:
                file.write(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror}") from None
    where = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    return Started(written=goals, next=f"{where}edgecompress deploy local")
