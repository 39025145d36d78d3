"""Which files this process and its workers open: Python's audit events, written down in one log.

The events come before a file is read, from whatever thread, and forked workers inherit the hook;
spawned ones install it when they import this module, as every task does. A hook cannot be taken
away again (PEP 578), so there is one, which does nothing while nobody watches.
"""

import contextlib
import importlib.util
import json
import os
import stat
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

_WATCH = "EDGECOMPRESS_WATCH"
"""Tells spawned workers what is watched: the JSON of a Watch."""
_PACKAGE = os.path.realpath(Path(__file__).parents[1])
_STANDARD_LIBRARY = (sysconfig.get_path("stdlib"), os.path.realpath(sysconfig.get_path("stdlib")))
_INSTALLED = ("site-packages", "dist-packages")
_WRITES = os.O_WRONLY | os.O_RDWR
_LISTINGS = ("os.listdir", "os.scandir")
_DATABASE = "sqlite3.connect"
_EVENTS = frozenset({"open", _DATABASE, *_LISTINGS})
_IMPORTS = ("importlib", "pkgutil.py", "zipimport")

READ, WRITTEN, LISTED = "read", "written", "listed"

Stat = tuple[int, int, int, int]
"""Size in bytes, inode, and the times of the last change of content and of anything, in ns."""


@dataclass(frozen=True)
class Watch:
    """What is written down, and where."""

    log: str
    folders: tuple[str, ...]
    """Everything in them, but for what is ignored; elsewhere sources alone."""
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """The first time that a process did something with a file."""

    kind: str
    path: str
    """Absolute; of a module, its source."""
    stat: Stat | None
    """Just before; None where there was nothing."""


class _Recorder:
    """The watch of this process."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._handle = os.open(watch.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._seen: set[int] = set()
        """Hashes, because data may lie in a million files."""

    def record(self, event: str, arguments: tuple[object, ...]) -> None:
        given = arguments[0]
        if event == "open":
            flags = arguments[2]
            kind = WRITTEN if isinstance(flags, int) and flags & _WRITES else READ
        elif event == _DATABASE:
            # Who asks a database may write to it as well.
            self._note(WRITTEN, given)
            kind = READ
        elif event in _LISTINGS and not _is_import():
            kind, given = LISTED, "." if given is None else given
        else:
            return
        self._note(kind, given)

    def _note(self, kind: str, given: object) -> None:
        if not isinstance(given, (str, bytes, os.PathLike)):
            return
        path = source_of(os.path.abspath(os.fsdecode(given)))
        seen = hash((kind, path))
        if path is None or seen in self._seen or not is_watched(self._watch, path):
            return
        self._seen.add(seen)
        line = json.dumps([kind, path, stat_of(path)]) + "\n"
        os.write(self._handle, line.encode())

    def close(self) -> None:
        os.close(self._handle)


_recorder: _Recorder | None = None
_retired: _Recorder | None = None
_is_hooked = False


def begin(watch: Watch) -> None:
    """Write down from now on, in place of any earlier watch. Raises OSError for its log."""
    global _recorder, _retired, _is_hooked
    _recorder = _Recorder(watch)
    if _retired is not None:
        _retired.close()
        _retired = None
    os.environ[_WATCH] = json.dumps(asdict(watch))
    if not _is_hooked:
        sys.addaudithook(_hook)
        _is_hooked = True


def end() -> None:
    """Write down no more."""
    global _recorder, _retired
    # Its log is closed by the next: a thread may be about to write to it.
    _recorder, _retired = None, _recorder
    os.environ.pop(_WATCH, None)


def events(log: Path, offset: int) -> tuple[list[Event], int]:
    """What was written down behind an offset, in bytes, and the next offset."""
    with log.open("rb") as file:
        file.seek(offset)
        whole = file.read().rpartition(b"\n")[0]
    found = [json.loads(line) for line in whole.splitlines()]
    done = offset + len(whole) + bool(whole)
    return [Event(kind, path, was and tuple(was)) for kind, path, was in found], done


def stat_of(path: str) -> Stat | None:
    """None where there is no file that can be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def source_of(path: str) -> str | None:
    """The source of a module's bytecode; None where that is only being written; else the path."""
    if "__pycache__" not in path:
        return path
    try:
        return importlib.util.source_from_cache(path)
    except ValueError:
        return None


def is_library(path: str) -> bool:
    """Whether a file is Python's, an installed package's or ours."""
    if any(part in path for part in _INSTALLED):
        return True
    return any(lies_in(path, folder) for folder in (*_STANDARD_LIBRARY, _PACKAGE))


def is_watched(watch: Watch, path: str) -> bool:
    """Whether a file, or a folder, is one to be written down."""
    if any(lies_in(path, folder) for folder in watch.ignored) or is_library(path):
        return False
    return path.endswith(".py") or any(lies_in(path, folder) for folder in watch.folders)


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder's, or of something in it."""
    return path.startswith(folder) and path[len(folder) : len(folder) + 1] in ("", os.sep)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _recorder is not None and event in _EVENTS:
        # What is watched must not be disturbed, whatever strange path it opens.
        with contextlib.suppress(Exception):
            _recorder.record(event, arguments)


def _is_import() -> bool:
    """Whether it is Python itself that lists a folder, to find a module or what is installed."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if any(name in file for name in _IMPORTS):
            return True
        if file != __file__ and not file.startswith(("<frozen", *_STANDARD_LIBRARY)):
            return False
        frame = frame.f_back
    return False


if _WATCH in os.environ:
    with contextlib.suppress(Exception):
        begin(Watch(**json.loads(os.environ[_WATCH])))
