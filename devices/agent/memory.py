"""Resident memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


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


def _status(key: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")]
    return sizes[0] if sizes else None


def _maxrss() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
