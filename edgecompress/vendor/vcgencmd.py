"""A Raspberry Pi's `vcgencmd`, and the same flags from sysfs."""

import re

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    MHZ_PER_HZ,
    NUMBER,
    SIGNED,
    VendorText,
    complete_lines,
    left_over,
    matches,
    number,
    scaled,
)

THROTTLED = re.compile(r"throttled=0x(?P<bits>[0-9a-fA-F]{1,8})")
SYSFS = re.compile(r"(?:0x)?(?P<bits>[0-9a-fA-F]{1,8})")
TEMPERATURE = re.compile(rf"temp=(?P<value>{SIGNED})'C")
CLOCK = re.compile(rf"frequency\((?P<id>[0-9]{{1,3}})\)=(?P<hz>{NUMBER})")
VOLTS = re.compile(rf"volt=(?P<value>{NUMBER})V")
NO_ACCESS = re.compile(
    r"VCHI initialization failed.*|Can't open device file: .*|error=[0-9]+ error_msg=.*"
)
DATA = re.compile(r"\w=|=\w")
"""All that vcgencmd answers is `name=value`."""
NOT_ALLOWED = "the user may not ask the firmware: sudo usermod -aG video USER on the board"

FLAGS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Bits of get_throttled that are set now; `SINCE_BOOT` bits higher: set at some time since boot."""
SINCE_BOOT = 16


class Throttled(Spec):
    bits: int

    @property
    def now(self) -> tuple[str, ...]:
        """What holds the board back now."""
        return tuple(word for bit, word in FLAGS.items() if self.bits >> bit & 1)

    @property
    def since_boot(self) -> tuple[str, ...]:
        """What did at some time since boot; these bits stay."""
        return tuple(word for bit, word in FLAGS.items() if self.bits >> bit + SINCE_BOOT & 1)


class PiClock(Spec):
    """One `measure_clock`."""

    id: int
    """The firmware's: 45 and 48 are the ARM cores (by release), 1 and 46 the GPU's core."""
    clock_mhz: float


class Vcgencmd(VendorText):
    """What one or several calls printed one after another, each kind in order."""

    failure: str | None
    throttled: tuple[Throttled, ...]
    temperatures_c: tuple[float, ...]
    clocks: tuple[PiClock, ...]
    volts: tuple[float, ...]

    @property
    def passed(self) -> bool:
        return self.failure is None


def parse_vcgencmd(text: str) -> Vcgencmd:
    """Read get_throttled, measure_temp, measure_clock and measure_volts."""
    lines = [line.strip() for line in complete_lines(text)]
    refused = matches(NO_ACCESS, lines)
    throttled = tuple(Throttled(bits=int(found["bits"], 16)) for found in matches(THROTTLED, lines))
    temperatures = (number(found["value"]) for found in matches(TEMPERATURE, lines))
    clocks = ((found["id"], scaled(found["hz"], MHZ_PER_HZ)) for found in matches(CLOCK, lines))
    volts = (number(found["value"]) for found in matches(VOLTS, lines))
    return Vcgencmd(
        failure=f"{refused[0].group()}: {NOT_ALLOWED}" if refused else None,
        throttled=throttled,
        temperatures_c=tuple(value for value in temperatures if value is not None),
        clocks=tuple(
            PiClock(id=int(name), clock_mhz=mhz) for name, mhz in clocks if mhz is not None
        ),
        volts=tuple(value for value in volts if value is not None),
        unread=left_over(lines, DATA, (THROTTLED, TEMPERATURE, CLOCK, VOLTS, NO_ACCESS)),
    )


def parse_sysfs_throttled(text: str) -> Throttled | None:
    """Read /sys/devices/platform/soc/soc:firmware/get_throttled: hexadecimal without 0x."""
    found = matches(SYSFS, [line.strip() for line in complete_lines(text)])
    return Throttled(bits=int(found[0]["bits"], 16)) if len(found) == 1 else None
