"""What can be asked of an Android phone, which has no Python: a shell, and files."""

import re
import time
from pathlib import Path

from edgecompress.devices.rows import (
    Row,
    architecture_row,
    clock_row,
    governor_row,
    missing,
    ok,
    size_rows,
    warning,
)
from edgecompress.spec.device import Device
from edgecompress.spec.target import Target
from edgecompress.transport import Transport

ANSWER_S = 30.0
GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
BENCHMARK_MODEL = (
    "download TensorFlow's android_aarch64_benchmark_model and name its path with benchmark_model:"
    " in the inventory"
)


def android_rows(transport: Transport, device: Device, target: Target) -> list[Row]:
    """Raises DeviceError when the phone does not answer."""
    machine = _said(transport, "uname", "-m") or "unknown"
    available = re.search(
        r"^MemAvailable:\s+(\d+) kB", _said(transport, "cat", "/proc/meminfo"), re.M
    )
    asked_s = time.time()
    clock = _said(transport, "date", "+%s")
    behind_s = (asked_s + time.time()) / 2 - float(clock) if clock.isdecimal() else 0.0
    return [
        architecture_row(target, machine, None),
        _level_row(target, _said(transport, "getprop", "ro.build.version.sdk")),
        _tool_row(transport, device),
        *size_rows(
            transport.files.free_bytes(transport.root),
            int(available.group(1)) * 1024 if available else None,
        ),
        clock_row(behind_s),
        governor_row(_said(transport, "cat", GOVERNOR) or None),
    ]


def _level_row(target: Target, said: str) -> Row:
    wanted = target.runtime.api_level
    if not said.isdecimal():
        return warning("android", "does not say its API level; is it an Android?")
    if wanted is not None and int(said) < wanted:
        text = f"API level {said}, where {target.name} counts on NNAPI of {wanted}"
        return missing("android", text, "use target android-xnnpack, or a newer phone")
    return ok("android", f"API level {said}")


def _tool_row(transport: Transport, device: Device) -> Row:
    tool = device.benchmark_model
    if tool is None:
        return missing("benchmark_model", "not named, and there is no Python", BENCHMARK_MODEL)
    if Path(tool).is_file():
        return ok("benchmark_model", f"{tool}, sent from here")
    if tool.startswith("/") and transport.stat(tool, timeout_s=ANSWER_S) is not None:
        return ok("benchmark_model", f"{tool}, on the device")
    text = f"{tool} is neither here nor on the device"
    return missing("benchmark_model", text, BENCHMARK_MODEL)


def _said(transport: Transport, *argv: str) -> str:
    """Nothing when it fails: phones keep some of it to themselves."""
    done = transport.run(argv, timeout_s=ANSWER_S)
    return "" if done.returncode else done.stdout.decode(errors="replace").strip()
