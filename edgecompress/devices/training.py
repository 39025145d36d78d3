"""What a deploy on this machine would train on, told without loading torch where that is sure."""

import os
import sys
from pathlib import Path

from edgecompress.errors import EdgecompressError
from edgecompress.launched import launched
from edgecompress.packages import version_of
from edgecompress.spec.health import TrainingHealth
from edgecompress.transport import LocalTransport

_TIMEOUT_S = 120.0
_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What Linux has where a GPU's driver is loaded: NVIDIA's, AMD's, and Windows' for Linux in it."""
_CPUINFO, _AMX = Path("/proc/cpuinfo"), "amx_bf16"
_ASK = """\
from edgecompress.compress.hardware import best_hardware
found = best_hardware()
print("\\n" + found.words())
"""


def training_here(workdir: Path) -> TrainingHealth:
    """Look at this machine and at the environment of this command.

    Args:
        workdir: an empty folder.

    """
    found = launched(os.environ)
    return TrainingHealth(
        hardware=_asked(workdir) if _may_have_more() else "cpu, float32",
        processes=1 if found is None else found.size,
        accelerate=version_of("accelerate"),
    )


def _may_have_more() -> bool:
    """Than a CPU that computes in float32."""
    if sys.platform != "linux" or any(Path(path).exists() for path in _GPUS):
        return True
    try:
        return _AMX in _CPUINFO.read_text().split()
    except OSError:
        return True


def _asked(workdir: Path) -> str:
    """What the training itself would find, in a process of its own."""
    try:
        done = LocalTransport(workdir).run([sys.executable, "-c", _ASK], timeout_s=_TIMEOUT_S)
    except EdgecompressError as error:
        return f"not known: {error}"
    lines = done.stdout.decode(errors="replace").split("\n")
    told = [line for line in lines if line.strip()]
    return told[-1].strip() if told and done.returncode == 0 else "not known: torch does not load"
