"""A board's temperature, clock and throttling: found once, read often."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable

Which = Callable[[str], "str | None"]
"""From a program's name to its path, or None, as shutil.which does."""

CLOCKS = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
ZONES = "sys/class/thermal/thermal_zone*"
GET_THROTTLED = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
CPU_ZONES = ("cpu", "soc", "x86_pkg", "k10temp")
OFF_C = -256
"""What a Jetson's zone reads while its part has no power."""
THROTTLED = re.compile(r"throttled=(0x[0-9a-fA-F]+)")
PROGRAM_S = 2.0


class Sensors:
    """Every method gives None where the board does not say."""

    def __init__(self, root: Path = Path("/"), which: Which = shutil.which) -> None:
        """Looks for the files, which takes longer than to read them."""
        zones = sorted(root.glob(ZONES))
        self._cpu_zones = [zone / "temp" for zone in zones if _is_cpu(zone)]
        self._other_zones = [zone / "temp" for zone in zones if not _is_cpu(zone)]
        self._clocks = sorted(root.glob(CLOCKS))
        self._flags = sorted(root.glob(GET_THROTTLED))
        self._vcgencmd = which("vcgencmd")

    def clock_mhz(self) -> float | None:
        """Of the fastest core: with big.LITTLE that is the one that matters."""
        clocks = [number(read(file)) for file in self._clocks]
        return max((khz / 1000 for khz in clocks if khz is not None), default=None)

    def temperature_c(self) -> float | None:
        """The hottest zone of the CPU, or of all zones where none of those can be read."""
        hottest = _hottest_c(self._cpu_zones)
        return _hottest_c(self._other_zones) if hottest is None else hottest

    def throttled(self) -> str | None:
        """A Raspberry Pi's flags; the file prints hexadecimal without 0x, vcgencmd with it."""
        if self._flags:
            try:
                return hex(int(read(self._flags[0]), 16))
            except ValueError:
                return None
        found = THROTTLED.search(said_by(self._vcgencmd, "get_throttled"))
        return found.group(1) if found else None


def _is_cpu(zone: Path) -> bool:
    kind = read(zone / "type").lower()
    return any(word in kind for word in CPU_ZONES)


def _hottest_c(files: list[Path]) -> float | None:
    found = [milli_c / 1000 for milli_c in map(number, map(read, files)) if milli_c is not None]
    return max((value for value in found if value > OFF_C), default=None)


def said_by(program: str | None, *arguments: str) -> str:
    """What a program of the board prints; empty where it is not there or fails.

    Without close_fds, CPython starts it by posix_spawn and not by fork, which would copy the page
    tables of a process that holds a model.
    """
    if program is None:
        return ""
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            close_fds=False,
            timeout=PROGRAM_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        # Some zones and governors exist and refuse to be read.
        return ""


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
