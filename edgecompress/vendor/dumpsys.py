"""Android's `dumpsys thermalservice`."""

import re

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    SIGNED,
    VendorText,
    complete_lines,
    integer,
    left_over,
    matches,
    number,
    only,
    unread,
)

FROM_HAL = "Current temperatures from HAL:"
STATUS = re.compile(r"Thermal Status: (?P<status>[0-6])")
OVERRIDDEN = re.compile(r"IsStatusOverride: (?P<flag>true|false)")
TEMPERATURE = re.compile(
    rf"\s+Temperature\{{mValue=(?P<value>{SIGNED}|NaN), mType=(?P<type>-?[0-9]+), "
    r"mName=(?P<name>[^{},]+), mStatus=(?P<status>[0-6])\}"
)
HEADLINES = re.compile(r"^\s*(?:Thermal Status|IsStatusOverride)\s*[:=]", re.IGNORECASE)
SENSORS = re.compile(r"\bTemperature\b.*\d", re.ASCII)
NO_READING_C = -99.9
"""What Samsung's HAL answers for a sensor that is off."""


class AndroidTemperature(Spec):
    """One sensor. Its type is left out, because vendors number the types unlike."""

    name: str
    """Such as TYPE_SKIN, or CPU0."""
    temperature_c: float | None
    status: int
    """As in `ThermalService`, of this sensor."""


class ThermalService(VendorText):
    status: int | None
    """0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown."""
    status_overridden: bool | None
    """Somebody set it by hand: it is no reading."""
    temperatures: tuple[AndroidTemperature, ...]
    """Read now; those that the service cached are left out, since they may be of any age."""


def parse_thermalservice(text: str) -> ThermalService:
    """Read the status and the current temperatures."""
    lines = complete_lines(text)
    overridden = only(found["flag"] for found in matches(OVERRIDDEN, lines))
    return ThermalService(
        status=only(integer(found["status"]) for found in matches(STATUS, lines)),
        status_overridden=None if overridden is None else overridden == "true",
        temperatures=tuple(map(_temperature, matches(TEMPERATURE, _from_hal(lines)))),
        unread=unread(
            (
                *left_over(lines, HEADLINES, (STATUS, OVERRIDDEN)),
                *left_over(_from_hal(lines), SENSORS, (TEMPERATURE,)),
            )
        ),
    )


def _from_hal(lines: list[str]) -> list[str]:
    """What is indented below the headline."""
    inside = False
    found = []
    for line in lines:
        if line[:1].isspace():
            found += [line] * inside
        else:
            inside = line.rstrip() == FROM_HAL
    return found


def _temperature(found: re.Match[str]) -> AndroidTemperature:
    value = number(found["value"])
    return AndroidTemperature(
        name=found["name"],
        temperature_c=None if value == NO_READING_C else value,
        status=int(found["status"]),
    )
