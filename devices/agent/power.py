"""What a board draws, where it can tell."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from .sensors import Which, number, read, said_by

WHOLE_MODULE = ("VDD_IN", "POM_5V_IN")
"""Rails of Jetsons that feed the whole module; AGX boards have none, and their parts do not add up
to what the board draws."""
HWMON_LABELS = "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label"
"""INA3221 since JetPack 5: mV in in<n>_input, mA in curr<n>_input."""
IIO_NAMES = "sys/bus/i2c/drivers/ina3221*/*/iio:device*/rail_name_*"
"""The same up to JetPack 4: mW in in_power<n>_input."""
PMIC = "the rails of the PMIC, without USB and what else hangs on 5 V"
CURRENT = re.compile(r"^\s*(\w+)_A current\(\d+\)=([0-9.]+)A\s*$", re.MULTILINE)
VOLTAGE = re.compile(r"^\s*(\w+)_V volt\(\d+\)=([0-9.]+)V\s*$", re.MULTILINE)
TEGRASTATS = re.compile(rf"(?<!\S)({'|'.join(WHOLE_MODULE)}) (\d+)(?:mW)?/\d+(?:mW)?(?!\S)")
FIRST_LINE_S = 3.0


class PowerMeter(ABC):
    of: str
    """What it measures."""

    @abstractmethod
    def read_mw(self) -> float | None:
        """Now; None when it cannot be read."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds."""


class HwmonRail(PowerMeter):
    def __init__(self, label: Path) -> None:
        self.of = read(label)
        index = label.name[len("in") : -len("_label")]
        self._millivolts = label.with_name(f"in{index}_input")
        self._milliamperes = label.with_name(f"curr{index}_input")

    def read_mw(self) -> float | None:
        millivolts, milliamperes = number(read(self._millivolts)), number(read(self._milliamperes))
        if millivolts is None or milliamperes is None:
            return None
        return millivolts * milliamperes / 1000

    def close(self) -> None:
        pass  # Nothing is open.


class IioRail(PowerMeter):
    def __init__(self, name: Path) -> None:
        self.of = read(name)
        self._milliwatts = name.with_name(f"in_power{name.name.rpartition('_')[2]}_input")

    def read_mw(self) -> float | None:
        return number(read(self._milliwatts))

    def close(self) -> None:
        pass  # Nothing is open.


class Pmic(PowerMeter):
    """A Raspberry Pi 5's, by `vcgencmd pmic_read_adc`: current and voltage of each rail."""

    of = PMIC

    def __init__(self, vcgencmd: str | None) -> None:
        self._vcgencmd = vcgencmd

    def read_mw(self) -> float | None:
        text = said_by(self._vcgencmd, "pmic_read_adc")
        volts = {name: number(value) for name, value in VOLTAGE.findall(text)}
        watts = []
        for name, value in CURRENT.findall(text):
            amperes, rail_volts = number(value), volts.get(name)
            # A sum without one of its rails would pass for a board that draws less.
            if amperes is None or rail_volts is None:
                return None
            watts.append(amperes * rail_volts)
        return sum(watts) * 1000 if watts else None

    def close(self) -> None:
        pass  # Nothing is open.


class Tegrastats(PowerMeter):
    """NVIDIA's tool, for boards whose sysfs only root may read."""

    def __init__(self, program: str) -> None:
        """Waits for its first line, and closes it again when that names no rail to use."""
        self.of = ""
        self._text = ""
        self._last_mw: float | None = None
        self._process = subprocess.Popen(
            [program, "--interval", "1000"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        os.set_blocking(self._fd, False)
        deadline = time.monotonic() + FIRST_LINE_S
        while "\n" not in self._text and time.monotonic() < deadline:
            if select.select([self._fd], [], [], FIRST_LINE_S)[0] and not self._pull():
                break
        if self.read_mw() is None:
            self.close()

    def read_mw(self) -> float | None:
        """Of the last whole line; None once it has ended, because that line is of the past."""
        if not self._pull():
            return None
        lines, _, self._text = self._text.rpartition("\n")
        for rail, milliwatts in TEGRASTATS.findall(lines):
            self.of, self._last_mw = rail, float(milliwatts)
        return self._last_mw

    def _pull(self) -> bool:
        """Take what it has printed; False when it has ended."""
        try:
            while True:
                chunk = os.read(self._fd, 65536)
                if not chunk:
                    return False
                self._text += chunk.decode("utf-8", "replace")
        except BlockingIOError:
            return True

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=FIRST_LINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def find_power(root: Path = Path("/"), which: Which = shutil.which) -> PowerMeter | None:
    """The first meter that gives a reading of the whole board, or nearly."""
    rails: list[PowerMeter] = [
        *(HwmonRail(label) for label in sorted(root.glob(HWMON_LABELS))),
        *(IioRail(name) for name in sorted(root.glob(IIO_NAMES))),
    ]
    readable = [rail for rail in rails if rail.read_mw() is not None]
    if readable:
        return next((rail for rail in readable if rail.of in WHOLE_MODULE), None)
    pmic = Pmic(which("vcgencmd"))
    return pmic if pmic.read_mw() is not None else _tegrastats(which("tegrastats"))


def _tegrastats(program: str | None) -> PowerMeter | None:
    if program is None:
        return None
    try:
        meter = Tegrastats(program)
    except OSError:
        return None
    return meter if meter.of else None
