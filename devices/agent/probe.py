"""`probe`: what the board is and has. Needs the standard library only."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .find_builder import find_trtexec
from .request import Request
from .runners import RUNNERS
from .state import read_state

PACKAGES = ("numpy", *(package for row in RUNNERS.values() for package in row.packages))


def run(_request: Request) -> dict[str, object]:
    """A Probe."""
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **read_cpu(),
        "cores": _cores(),
        "memory_bytes": _memory_bytes("MemTotal"),
        "versions": _versions(),
        "kernel_machine": _read(Path("/proc/sys/kernel/arch")).strip() or None,
        "python_bits": 64 if sys.maxsize > 2**32 else 32,
        "trtexec": find_trtexec(),
        "free_disk_bytes": shutil.disk_usage(os.curdir).free,
        "available_memory_bytes": _memory_bytes("MemAvailable"),
        "epoch_s": time.time(),
        "state": read_state(),
    }


def read_cpu(root: Path = Path("/")) -> dict[str, object]:
    """`cpu_model` and `cpu_features`, from what the kernel says; x86 and ARM word it unlike."""
    info: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip().lower(), value.strip())
    board = _read(root / "proc/device-tree/model").strip("\0")
    model = board or info.get("model name") or info.get("hardware")
    features = info.get("flags") or info.get("features") or ""
    return {"cpu_model": model or None, "cpu_features": sorted(features.split())}


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    known = os.cpu_count()
    return 1 if known is None else known


def _memory_bytes(key: str) -> int | None:
    found = re.search(rf"^{key}:\s+(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
