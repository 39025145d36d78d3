"""Memory of this process: all that is resident (RSS), and its share of what others have too (PSS).

https://docs.kernel.org/filesystems/proc.html
"""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path
from typing import NamedTuple

MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ (?P<may>\S+) \S+ \S+ \d+ *(?P<path>.*)$")
OF_NO_FILE = ("Pss_Anon", "Pss_Shmem")


class Usage(NamedTuple):
    """Bytes at one moment."""

    rss: int
    code_rss: int
    """Part of it: files that code is run from, such as the runtime's libraries."""
    pss: int | None
    """Without such files: how many processes share them now is no matter of the model's. None: the
    system does not tell, as Linux before 5.4.
    """

    @property
    def data_rss(self) -> int:
        return self.rss - self.code_rss


def current() -> Usage:
    code_rss, data_files_pss = _files()
    own = _own_pss()
    return Usage(current_rss(), code_rss, None if own is None else own + data_files_pss)


def current_pss() -> int | None:
    """As in Usage, but for files that are mapped as data: quick, for a sampler."""
    return _own_pss()


def current_rss() -> int:
    """Bytes now; the peak so far where the system does not say."""
    now = _status("VmRSS")
    return _maxrss() if now is None else now


def peak_rss() -> int:
    """Largest number of bytes since `reset_peak`, or since the start where that is not allowed.

    VmHWM and not ru_maxrss: Linux hands ru_maxrss on from the parent through exec, so an agent
    started by a large process would report that process's memory.
    """
    peak = _status("VmHWM")
    return _maxrss() if peak is None else peak


def reset_peak() -> None:
    """Make the peak start from what is resident now."""
    try:
        with Path("/proc/self/clear_refs").open("w") as file:
            file.write("5")
    except OSError:
        # Not allowed or not Linux: importing a runtime rarely peaks above what it keeps.
        return


def _files() -> tuple[int, int]:
    """RSS of files that code is run from, and PSS of the other ones: models that are mapped."""
    rss: dict[str, int] = {}
    pss: dict[str, int] = {}
    code: set[str] = set()
    path = ""
    for line in _lines("/proc/self/smaps"):
        mapping = MAPPING.match(line)
        if mapping is not None:
            path = mapping["path"] if mapping["path"].startswith("/") else ""
            if path and "x" in mapping["may"]:
                code.add(path)
        elif path and line.startswith("Rss:"):
            rss[path] = rss.get(path, 0) + _size(line)
        elif path and line.startswith("Pss:"):
            pss[path] = pss.get(path, 0) + _size(line)
    return (
        sum(size for path, size in rss.items() if path in code),
        sum(size for path, size in pss.items() if path not in code),
    )


def _own_pss() -> int | None:
    sizes = [
        _size(line)
        for line in _lines("/proc/self/smaps_rollup")
        if line.partition(":")[0] in OF_NO_FILE
    ]
    return sum(sizes) if sizes else None


def _status(key: str) -> int | None:
    sizes = [_size(line) for line in _lines("/proc/self/status") if line.startswith(key + ":")]
    return sizes[0] if sizes else None


def _size(line: str) -> int:
    """Bytes of 'Rss:   12 kB'."""
    return int(line.split()[1]) * 1024


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _maxrss() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
