"""Who is at work on a trial, and whether that process still lives."""

import os
import platform
from pathlib import Path
from typing import Any


def this_worker() -> dict[str, Any]:
    return {"host": _host(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_gone(worker: Any) -> bool:
    """Whether the process is known to have ended, which only its own machine can tell."""
    if not isinstance(worker, dict) or worker.get("host") != _host():
        return False
    try:
        os.kill(int(worker["pid"]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    # Another process may have its number now.
    return bool(worker.get("began") != _began(int(worker["pid"])))


def _host() -> str:
    """The machine, since it was started: numbers of processes mean nothing elsewhere."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{platform.node()} {boot}"


def _began(pid: int) -> str | None:
    """When a process began, in the system's own words; None where it does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended.
    return None if fields[0] == "Z" else fields[19]
