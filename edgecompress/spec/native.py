"""The CPU of the machine that this runs on, for `cpu: native`."""

import os
import platform
from pathlib import Path

from edgecompress.errors import SpecError
from edgecompress.spec.target import Architecture, Cpu

_ARCHITECTURES: dict[str, Architecture] = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv7l": "armv7l",
}
KERNEL_FEATURES = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
"""What int8 kernels are chosen by, as /proc/cpuinfo spells it."""


def native_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Raises SpecError on an architecture that no runtime of ours has int8 kernels for."""
    machine = platform.machine().lower()
    if machine not in _ARCHITECTURES:
        raise SpecError(
            f"cpu: native: architecture '{machine}' is not known;"
            f" known: {', '.join(sorted(_ARCHITECTURES))}"
        )
    return Cpu(
        architecture=_ARCHITECTURES[machine],
        features=_features(cpuinfo, machine),
        cores=_cores(),
    )


def _cores() -> int:
    """Those that this process may use, as the agent counts them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    known = os.cpu_count()
    return 1 if known is None else known


def _features(cpuinfo: Path, machine: str) -> tuple[str, ...]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # macOS has no cpuinfo; every Apple Arm chip has asimddp
        return ("asimd", "asimddp") if machine == "arm64" else ()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), ":")
    present = set(flags.partition(":")[2].split())
    return tuple(feature for feature in KERNEL_FEATURES if feature in present)
