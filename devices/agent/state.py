"""What may make a latency wrong: governor, clock, temperature, throttling, load."""

from __future__ import annotations

import shutil
from pathlib import Path

from .sensors import Sensors, Which, number, read
from .unread import Unread


def read_state(
    root: Path = Path("/"), which: Which = shutil.which, unread: Unread | None = None
) -> dict[str, object]:
    """A DeviceState; None where the board does not say."""
    sensors = Sensors(root, which, unread)
    clock_mhz = sensors.clock_mhz()
    return {
        "governor": _governor(root),
        "clock_mhz": _cpuinfo_mhz(root) if clock_mhz is None else clock_mhz,
        "temperature_c": sensors.temperature_c(),
        "throttled": sensors.throttled(),
        "load_1m": number(read(root / "proc/loadavg").partition(" ")[0]),
    }


def _governor(root: Path) -> str | None:
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return ",".join(sorted({read(file) for file in files} - {""})) or None


def _cpuinfo_mhz(root: Path) -> float | None:
    """Virtual machines have no cpufreq. Not for a sampler: x86 interrupts every core for it."""
    lines = read(root / "proc/cpuinfo").splitlines()
    values = [number(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return max((mhz for mhz in values if mhz is not None), default=None)
