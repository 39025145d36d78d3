"""How many cores this process may use: neither affinity nor a quota is in os.cpu_count()."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

from .sensors import number, read

CGROUPS = "sys/fs/cgroup"
V1_FOLDERS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def allowed_cores() -> set[int]:
    """Numbers of the cores that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    known = os.cpu_count()
    return set(range(1 if known is None else known))


def quota_cores(root: Path = Path("/")) -> float | None:
    """The least that its control group or one above allows, in cores; None: no quota."""
    quotas = (_quota(folder) for folder in _groups(root))
    return min((quota for quota in quotas if quota is not None), default=None)


def quota_wait_s(root: Path = Path("/")) -> float | None:
    """How long quotas have held back the control group, or one above; None where none is told."""
    waits = (_wait_s(folder) for folder in _groups(root))
    return max((wait for wait in waits if wait is not None), default=None)


def usable_cores(root: Path = Path("/")) -> int:
    """Whole cores by affinity and quota, one at least."""
    allowed, quota = len(allowed_cores()), quota_cores(root)
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _groups(root: Path) -> Iterator[Path]:
    """The process's folder of each hierarchy that knows CPU time, and all above it.

    In a container the path may be the host's, of which only the last folder, the root, is there.
    """
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        tops = [root / CGROUPS / name for name in V1_FOLDERS] if controllers else _unified(root)
        for top in tops:
            folder = top / path.strip("/")
            while folder != top:
                yield folder
                folder = folder.parent
            yield top


def _unified(root: Path) -> list[Path]:
    return [root / CGROUPS, root / CGROUPS / "unified"]


def _quota(folder: Path) -> float | None:
    quota, _, period = read(folder / "cpu.max").partition(" ")
    if not quota:
        quota = read(folder / "cpu.cfs_quota_us")
        period = read(folder / "cpu.cfs_period_us")
    most, of = number(quota), number(period)
    # Version 2 says 'max', version 1 says -1.
    return most / of if most is not None and most > 0 and of else None


def _wait_s(folder: Path) -> float | None:
    for line in read(folder / "cpu.stat").splitlines():
        key, _, value = line.partition(" ")
        amount = number(value)
        if amount is not None and key == "throttled_usec":
            return amount / 1e6
        if amount is not None and key == "throttled_time":
            return amount / 1e9
    return None
