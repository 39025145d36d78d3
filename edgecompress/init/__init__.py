"""`edgecompress init`: a working deploy.yaml and task.py to start from."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import SpecError, StorageError

TEMPLATES = Path(__file__).parent / "templates"
"""A folder for each kind of task."""


@dataclass(frozen=True)
class Started:
    written: tuple[Path, ...]
    next: str
    """The command that uses them."""


def kinds() -> tuple[str, ...]:
    """The kinds of task that there is an example of."""
    return tuple(sorted(path.name for path in TEMPLATES.iterdir() if (path / "task.py").is_file()))


def write_start(folder: Path, kind: str = "classification") -> Started:
    """Write the example of a kind of task into `folder`, which is made when it is not there.

    Raises:
        SpecError: there is no such kind, or one of the files already; nothing is written.
        StorageError: the folder cannot be written.

    """
    if kind not in kinds():
        raise SpecError(f"--task {kind} is unknown; known: {', '.join(kinds())}")
    sources = sorted(path for path in (TEMPLATES / kind).iterdir() if path.is_file())
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
