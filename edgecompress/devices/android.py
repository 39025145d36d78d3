"""What is missing on an Android phone, which has no Python: a shell, and files."""

import re
import time

from edgecompress.devices.rows import board_rows
from edgecompress.measure.android_board import read_probe
from edgecompress.runtimes import runtime
from edgecompress.spec.device import Device
from edgecompress.spec.health import Row, ok, warning
from edgecompress.spec.target import Target
from edgecompress.transport import Transport


def android_rows(transport: Transport, device: Device, target: Target) -> list[Row]:
    """Raises DeviceError when the phone does not answer."""
    started_s = time.time()
    probe = read_probe(transport, {})
    behind_s = 0.0 if probe.epoch_s is None else (started_s + time.time()) / 2 - probe.epoch_s
    level = _level_of(probe.system)
    return [
        *board_rows(target, device, probe, behind_s),
        _level_row(level),
        *runtime(target.runtime.name).phone_rows(transport, device, target, level),
    ]


def _level_of(system: str) -> int | None:
    found = re.search(r"API ([0-9]{1,9})\b", system)
    return None if found is None else int(found.group(1))


def _level_row(level: int | None) -> Row:
    if level is None:
        return warning("api level", "it does not say; is it an Android?")
    return ok("api level", str(level))
