"""A board's temperature, clock and throttling: found once, read often."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable

from .unread import Unread

Which = Callable[[str], "str | None"]
"""From a program's name to its path, or None, as shutil.which does."""

CLOCKS = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
ZONES = "sys/class/thermal/thermal_zone*"
GET_THROTTLED = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
CPU_ZONES = ("cpu", "soc", "x86_pkg", "k10temp")
OFF_C = -256
"""What a Jetson's zone reads while its part has no power."""
THROTTLED = re.compile(r"throttled=(0x[0-9a-fA-F]+)")
REFUSED = ("error=", "VCHI ", "Can't open")
"""What vcgencmd prints where the firmware does not know the question, or may not be asked."""
PROGRAM_S = 2.0


class Sensors:
    """Every method gives None where the board does not say."""

    def __init__(
        self,
        root: Path = Path("/"),
        which: Which = shutil.which,
        unread: Unread | None = None,
    ) -> None:
        """Looks for the files, which takes longer than to read them."""
        self._unread = Unread() if unread is None else unread
        zones = sorted(root.glob(ZONES))
        self._cpu_zones = [zone / "temp" for zone in zones if _is_cpu(zone)]
        self._other_zones = [zone / "temp" for zone in zones if not _is_cpu(zone)]
        self._clocks = sorted(root.glob(CLOCKS))
        self._flags = sorted(root.glob(GET_THROTTLED))
        self._vcgencmd = which("vcgencmd")

    def clock_mhz(self) -> float | None:
        """The fastest core's: with big.LITTLE that is the one that matters."""
        clocks = [number_in(file, self._unread) for file in self._clocks]
        return max((khz / 1000 for khz in clocks if khz is not None), default=None)

    def temperature_c(self) -> float | None:
        """The hottest zone of the CPU, or of all zones where none of those can be read."""
        hottest = self._hottest_c(self._cpu_zones)
        return self._hottest_c(self._other_zones) if hottest is None else hottest

    def throttled(self) -> str | None:
        """A Raspberry Pi's flags; the file prints hexadecimal without 0x, vcgencmd with it."""
        if self._flags:
            word = read(self._flags[0])
            try:
                return hex(int(word, 16))
            except ValueError:
                self._unread.add(str(self._flags[0]), word)
                return None
        said = said_by(self._vcgencmd, "get_throttled")
        found = THROTTLED.search(said)
        if found is None and not said.startswith(REFUSED):
            self._unread.add("vcgencmd get_throttled", said)
        return found.group(1) if found else None

    def _hottest_c(self, files: list[Path]) -> float | None:
        found = [number_in(file, self._unread) for file in files]
        known = [milli_c / 1000 for milli_c in found if milli_c is not None]
        return max((value for value in known if value > OFF_C), default=None)


def _is_cpu(zone: Path) -> bool:
    kind = read(zone / "type").lower()
    return any(word in kind for word in CPU_ZONES)


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
    """None for what is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def number_in(file: Path, unread: Unread) -> float | None:
    text = read(file)
    value = number(text)
    if value is None:
        unread.add(str(file), text)
    return value
