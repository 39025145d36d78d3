"""What a board draws, where it can tell."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from .sensors import REFUSED, Which, number, number_in, read, said_by
from .unread import Unread

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
ADC = re.compile(f"{CURRENT.pattern}|{VOLTAGE.pattern}")
_POWER = r"-?\d+(?:\.\d+)?(?:mW|W|)"
TEGRASTATS = re.compile(
    rf"(?<!\S)(?P<rail>{'|'.join(WHOLE_MODULE)})(?: (?P<now>-?\d+(?:\.\d+)?)(?P<unit>mW|W|)"
    rf"/{_POWER}(?:/{_POWER})?(?!\S)| (?P<other>\S+))",
    re.ASCII,
)
"""Now and the mean, without a unit before JetPack 5, and a third figure since JetPack 7.2."""
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
    def __init__(self, label: Path, unread: Unread) -> None:
        self._unread = unread
        self.of = read(label)
        index = label.name[len("in") : -len("_label")]
        self._millivolts = label.with_name(f"in{index}_input")
        self._milliamperes = label.with_name(f"curr{index}_input")

    def read_mw(self) -> float | None:
        millivolts = number_in(self._millivolts, self._unread)
        milliamperes = number_in(self._milliamperes, self._unread)
        if millivolts is None or milliamperes is None:
            return None
        return millivolts * milliamperes / 1000

    def close(self) -> None:
        pass  # Nothing is open.


class IioRail(PowerMeter):
    def __init__(self, name: Path, unread: Unread) -> None:
        self._unread = unread
        self.of = read(name)
        self._milliwatts = name.with_name(f"in_power{name.name.rpartition('_')[2]}_input")

    def read_mw(self) -> float | None:
        return number_in(self._milliwatts, self._unread)

    def close(self) -> None:
        pass  # Nothing is open.


class Pmic(PowerMeter):
    """A Raspberry Pi 5's, by `vcgencmd pmic_read_adc`: current and voltage of each rail."""

    of = PMIC

    def __init__(self, vcgencmd: str | None, unread: Unread) -> None:
        self._vcgencmd = vcgencmd
        self._unread = unread

    def read_mw(self) -> float | None:
        text = said_by(self._vcgencmd, "pmic_read_adc")
        if text.startswith(REFUSED):
            return None
        unread = [line for line in text.splitlines() if line.strip() and not ADC.match(line)]
        for line in unread:
            self._unread.add("vcgencmd pmic_read_adc", line)
        volts = {name: number(value) for name, value in VOLTAGE.findall(text)}
        watts = []
        for name, value in CURRENT.findall(text):
            amperes, rail_volts = number(value), volts.get(name)
            # A sum without one of its rails would pass for a board that draws less.
            if unread or amperes is None or rail_volts is None:
                return None
            watts.append(amperes * rail_volts)
        return sum(watts) * 1000 if watts else None

    def close(self) -> None:
        pass  # Nothing is open.


class Tegrastats(PowerMeter):
    """NVIDIA's tool, for boards whose sysfs only root may read."""

    def __init__(self, program: str, unread: Unread) -> None:
        """Waits for its first line, and closes it again when that names no rail to use."""
        self.of = ""
        self._unread = unread
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
        """What the last whole line says; None once it has ended: that line is of the past."""
        if not self._pull():
            return None
        lines, _, self._text = self._text.rpartition("\n")
        for found in TEGRASTATS.finditer(lines):
            if found["now"] is None:
                self._unread.add("tegrastats", found.group())
                continue
            factor = 1000 if found["unit"] == "W" else 1
            self.of, self._last_mw = found["rail"], float(found["now"]) * factor
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


def find_power(root: Path, which: Which, unread: Unread) -> PowerMeter | None:
    """The first meter that gives a reading of the whole board, or nearly."""
    rails: list[PowerMeter] = [
        *(HwmonRail(label, unread) for label in sorted(root.glob(HWMON_LABELS))),
        *(IioRail(name, unread) for name in sorted(root.glob(IIO_NAMES))),
    ]
    readable = [rail for rail in rails if rail.read_mw() is not None]
    if readable:
        return next((rail for rail in readable if rail.of in WHOLE_MODULE), None)
    pmic = Pmic(which("vcgencmd"), unread)
    return pmic if pmic.read_mw() is not None else _tegrastats(which("tegrastats"), unread)


def _tegrastats(program: str | None, unread: Unread) -> PowerMeter | None:
    if program is None:
        return None
    try:
        meter = Tegrastats(program, unread)
    except OSError:
        return None
    return meter if meter.of else None
