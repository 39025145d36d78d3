"""What is missing on an Android phone, which has no Python: a shell, and files."""

import re
import time

from edgecompress.devices.rows import Row, board_rows, missing, ok, warning
from edgecompress.errors import RuntimeMissing
from edgecompress.measure.android_board import read_probe
from edgecompress.measure.android_tool import find_tool
from edgecompress.spec.device import Device
from edgecompress.spec.target import Target
from edgecompress.transport import Transport

ANSWER_S = 60.0


def android_rows(transport: Transport, device: Device, target: Target) -> list[Row]:
    """Raises DeviceError when the phone does not answer."""
    started_s = time.time()
    probe = read_probe(transport, {})
    behind_s = 0.0 if probe.epoch_s is None else (started_s + time.time()) / 2 - probe.epoch_s
    rows = board_rows(target, device, probe, behind_s)
    return [*rows, _level_row(target, probe.system), _tool_row(transport, device)]


def _level_row(target: Target, system: str) -> Row:
    found, wanted = re.search(r"API ([0-9]{1,9})\b", system), target.runtime.api_level
    if found is None:
        return warning("api level", "it does not say; is it an Android?")
    level = int(found.group(1))
    if wanted is not None and level < wanted:
        text = f"{level}, where {target.name} counts on NNAPI of {wanted}"
        return missing("api level", text, "use target android-xnnpack, or a newer phone")
    return ok("api level", str(level))


def _tool_row(transport: Transport, device: Device) -> Row:
    try:
        tool = find_tool(transport, device.benchmark_model, ANSWER_S)
    except RuntimeMissing as error:
        return missing("benchmark_model", str(error))
    return ok("benchmark_model", tool.path)
